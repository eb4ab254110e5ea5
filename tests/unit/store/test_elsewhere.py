from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama.errors import (
    InvalidGGUF,
    InvalidName,
    InvalidRequest,
    ModelNotFound,
    RequestError,
)
from pyollama.store.elsewhere import Elsewhere, Folders, choose
from pyollama.store.name import Name
from pyollama.store.store import Store
from pyollama.types import CreateRequest

Make = Callable[..., bytes]


@pytest.fixture
def model(tmp_path: Path, model_gguf: Make) -> Path:
    path = tmp_path / "Some Model.gguf"
    path.write_bytes(model_gguf())
    return path


@pytest.fixture
def touch(model_gguf: Make) -> Callable[..., Path]:
    def make(folder: Path, *names: str) -> Path:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(model_gguf())
        return folder

    return make


def test_a_file_is_a_model(store: Store, model: Path) -> None:
    found = store.resolve(str(model), files=True)
    assert found.model_path == model
    assert found.name == Name("file", "local", "Some_Model", "latest")
    assert found.label == str(model)
    assert found.size == model.stat().st_size
    details = found.details
    assert (details.format, details.family, details.context_length) == ("gguf", "llama", 512)
    assert found.template is None
    assert not store.root.exists()
    assert store.list() == []


def test_files_are_not_for_everybody(store: Store, model: Path) -> None:
    """Nothing shows whether there is such a file."""
    for path in (model, model.with_name("nothing.gguf"), model.parent):
        with pytest.raises(InvalidName, match="invalid model name"):
            store.resolve(str(path))


def test_another_file_is_another_model(store: Store, model: Path, model_gguf: Make) -> None:
    first = store.resolve(str(model), files=True)
    assert store.resolve(str(model), files=True) is first
    model.write_bytes(model_gguf("qwen2"))
    os.utime(model, (1, 1))
    second = store.resolve(str(model), files=True)
    assert second.digest != first.digest
    assert second.architecture == "qwen2"


def test_what_is_no_model(store: Store, tmp_path: Path, gguf_bytes: Make) -> None:
    with pytest.raises(ModelNotFound, match="there is no GGUF file"):
        store.resolve(str(tmp_path / "nothing.gguf"), files=True)
    for name in ("nothing", "text"):
        (tmp_path / "text").write_text("text")
        with pytest.raises(InvalidName):
            store.resolve(str(tmp_path / name), files=True)
    (tmp_path / "cut.gguf").write_bytes(b"GGUF")
    with pytest.raises(InvalidGGUF):
        store.resolve(str(tmp_path / "cut.gguf"), files=True)
    adapter = {"general.architecture": (8, "llama"), "general.type": (8, "adapter")}
    (tmp_path / "adapter.gguf").write_bytes(gguf_bytes(adapter))
    with pytest.raises(InvalidRequest, match="holds no model but: adapter"):
        store.resolve(str(tmp_path / "adapter.gguf"), files=True)


def test_a_folder_with_one_model(store: Store, touch: Callable[..., Path], tmp_path: Path) -> None:
    folder = touch(tmp_path / "one", "x-Q8_0.gguf", "mmproj-x.gguf")
    assert store.resolve(str(folder), files=True).model_path == folder / "x-Q8_0.gguf"
    touch(folder, "x-Q4_K_M.gguf")
    assert store.resolve(str(folder), files=True).model_path == folder / "x-Q4_K_M.gguf"
    other = touch(tmp_path / "two", "a.gguf", "b.gguf")
    with pytest.raises(InvalidRequest, match=r"holds several models: a\.gguf, b\.gguf"):
        store.resolve(str(other), files=True)
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidName):
        store.resolve(str(tmp_path / "none"), files=True)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("latest", "m-Q4_K_M.gguf"),
        ("q8_0", "m-Q8_0.gguf"),
        ("Q4_K_M", "m-Q4_K_M.gguf"),
        ("F16", "F16/m-F16-00001-of-00002.gguf"),
        ("m-q8_0.gguf", "m-Q8_0.gguf"),
        ("iq4_xs", "m_IQ4_XS.gguf"),
        ("K_M", None),
        ("0", None),
    ],
)
def test_a_tag_chooses_the_quantisation(
    touch: Callable[..., Path], tmp_path: Path, tag: str, expected: str | None
) -> None:
    parts = ("F16/m-F16-00001-of-00002.gguf", "F16/m-F16-00002-of-00002.gguf")
    folder = touch(tmp_path / "repo", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "m_IQ4_XS.gguf", *parts)
    chosen = choose(folder, tag)
    assert chosen == (folder / expected if expected else None)


def test_a_split_model_is_all_of_its_parts(
    store: Store, touch: Callable[..., Path], tmp_path: Path
) -> None:
    names = [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    folder = touch(tmp_path / "split", *names)
    found = store.resolve(str(folder), files=True)
    assert found.model_path == folder / names[0]
    assert found.size == 3 * (folder / names[0]).stat().st_size
    with pytest.raises(InvalidRequest, match="is part 2 of a split model"):
        store.resolve(str(folder / names[1]), files=True)
    (folder / names[2]).unlink()
    with pytest.raises(ModelNotFound, match="this part of the model is not there"):
        store.resolve(str(folder), files=True)


def test_the_cache_of_hugging_face(touch: Callable[..., Path], tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    repository = hub / "models--User--Tiny.GGUF"
    touch(repository / "snapshots" / "old", "t-Q8_0.gguf")
    new = touch(repository / "snapshots" / "new", "t-Q8_0.gguf", "t-F16.gguf")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("new")
    store = Store(tmp_path / "models", folders=Folders(hub))
    found = store.resolve("hf.co/user/tiny.gguf:q8_0", files=True)
    assert found.model_path == new / "t-Q8_0.gguf"
    assert found.name.short == found.label == "hf.co/user/tiny.gguf:q8_0"
    assert store.resolve("huggingface.co/User/Tiny.GGUF:F16", files=True).size == found.size
    for name, allowed in (("hf.co/user/tiny.gguf:q4_0", True), ("hf.co/user/tiny.gguf:f16", False)):
        with pytest.raises(ModelNotFound):
            store.resolve(name, files=allowed)
    (repository / "refs" / "main").write_text("../../../../elsewhere")
    os.utime(repository / "snapshots" / "old", (2e9, 2e9))
    found = store.resolve("hf.co/user/tiny.gguf:q8_0", files=True)
    assert found.model_path == repository / "snapshots" / "old" / "t-Q8_0.gguf"


def test_the_models_of_lm_studio(touch: Callable[..., Path], tmp_path: Path) -> None:
    folder = touch(tmp_path / "lms" / "Publisher" / "Repo-GGUF", "r-Q4_K_M.gguf")
    elsewhere = Elsewhere(Folders(tmp_path, (tmp_path / "nothing", tmp_path / "lms")))
    found = elsewhere.cached(Name.parse("lmstudio/publisher/repo-gguf"))
    assert found is not None
    assert found.model_path == folder / "r-Q4_K_M.gguf"
    assert elsewhere.cached(Name.parse("lmstudio/publisher/other")) is None
    assert elsewhere.cached(Name.parse("publisher/repo-gguf")) is None


def test_the_store_goes_first(
    store: Store, touch: Callable[..., Path], tmp_path: Path, model_gguf: Make
) -> None:
    touch(tmp_path / "lms" / "p" / "r", "r.gguf")
    both = Store(store.root, folders=Folders(tmp_path, (tmp_path / "lms",)))
    digest, _ = both.blobs.put(model_gguf())
    for _ in both.create(CreateRequest(model="lmstudio/p/r", files={"x.gguf": digest})):
        pass
    assert both.resolve("lmstudio/p/r", files=True).model_path == both.blobs.path(digest)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(), st.sampled_from(["", "/", "~/", "/proc/self/fd/"]), st.sampled_from(["", ".gguf"])
)
def test_any_text_is_a_model_or_refused(store: Store, text: str, before: str, after: str) -> None:
    with pytest.raises((RequestError, ModelNotFound)):
        store.resolve(f"{before}{text}\0{after}", files=True)


@pytest.mark.parametrize("text", ["/x\ud800.gguf", f"/{'x' * 5000}.gguf", "/" + "x/" * 3000])
def test_paths_that_no_disk_can_have(store: Store, text: str) -> None:
    with pytest.raises((RequestError, ModelNotFound)):
        store.resolve(text, files=True)
