from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyollama.errors import InvalidName, InvalidRequest, ModelNotFound, StoreError
from pyollama.store.builtin import Builtin
from pyollama.store.store import Store
from pyollama.types import CreateRequest

Make = Callable[..., bytes]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def create(store: Store, model: str, **fields: Any) -> list[str]:
    return [step.status for step in store.create(CreateRequest(model=model, **fields))]


@pytest.fixture
def weights(store: Store, model_gguf: Make) -> str:
    """The digest of an uploaded model file; the model ``base`` is made of it."""
    digest, _ = store.blobs.put(model_gguf())
    create(store, "base", files={"x.gguf": digest})
    return digest


def names(store: Store) -> list[str]:
    return [model.name.short for model in store.list()]


def manifest_path(store: Store, model: str) -> Path:
    return store.root / "manifests" / "registry.ollama.ai" / "library" / model / "latest"


def test_what_is_on_disk_is_what_ollama_expects(store: Store, weights: str) -> None:
    path = manifest_path(store, "base")
    data = path.read_bytes()
    document = json.loads(data)
    assert data.endswith(b"}\n")
    assert list(document) == ["schemaVersion", "mediaType", "config", "layers"]
    assert [(layer["mediaType"], layer["digest"]) for layer in document["layers"]] == [
        ("application/vnd.ollama.image.model", weights)
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    config = json.loads(store.blobs.read(document["config"]["digest"], 1000))
    assert config == {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": "40",
        "file_type": "F16",
        "architecture": "amd64",
        "os": "linux",
    }
    for blob in (store.root / "blobs").iterdir():
        assert blob.name == f"sha256-{hashlib.sha256(blob.read_bytes()).hexdigest()}"
    assert store.resolve("base").digest == hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("weights")
def test_a_resolved_model(store: Store) -> None:
    create(
        store,
        "other:v1",
        base="base",
        template="T",
        system="S",
        licenses=("L1", "L2"),
        parameters={"stop": ["x"], "num_ctx": 10},
    )
    model = store.resolve("OTHER:V1")
    assert model.name.short == "other:v1"
    assert (model.template, model.system, model.licenses) == ("T", "S", ("L1", "L2"))
    assert model.params == {"num_ctx": 10, "stop": ["x"]}
    assert model.model_path is not None
    assert model.model_path.is_file()
    assert model.architecture == "llama"
    details = model.details
    assert (details.parent_model, details.format, details.family) == (
        "base:latest",
        "gguf",
        "llama",
    )
    assert (details.context_length, details.embedding_length) == (512, 8)
    assert model.size == sum(layer.size for layer in model.manifest.blobs)
    assert store.resolve("other:v1") is model
    assert store.resolve("other:v1:local") is model


@pytest.mark.usefixtures("weights")
def test_a_digest_has_to_be_that_of_the_model(store: Store) -> None:
    digest = store.resolve("base").digest
    assert store.resolve(f"Base@sha256:{digest}") is store.resolve("base")
    with pytest.raises(ModelNotFound, match=r"^model 'base@sha256:0+' not found$"):
        store.resolve(f"base@sha256:{'0' * 64}")
    with pytest.raises(InvalidName):
        store.resolve("base@latest")


@pytest.mark.usefixtures("weights")
def test_names_that_lead_nowhere(store: Store) -> None:
    with pytest.raises(ModelNotFound, match=r"^model 'Base:v2' not found$") as caught:
        store.resolve("Base:v2")
    assert caught.value.details == {"model": "Base:v2"}
    with pytest.raises(InvalidName, match=r"^invalid model name$"):
        store.resolve("a b")


@pytest.mark.usefixtures("weights")
def test_newest_first_and_broken_ones_left_out(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for age, model in ((30, "a"), (10, "b"), (20, "c")):
        store.copy("base", model)
        os.utime(manifest_path(store, model), (2e9 - age, 2e9 - age))
    path = manifest_path(store, "base")
    path.write_bytes(b"{")
    with caplog.at_level(logging.WARNING):
        assert names(store) == ["b:latest", "c:latest", "a:latest"]
    assert "base:latest is left out" in caplog.text


def test_copy_and_delete(store: Store, weights: str) -> None:
    before = store.resolve("base")
    store.copy("BASE", "x/Copy:v1")
    assert store.resolve("x/copy:V1").digest == before.digest
    store.delete("base")
    assert store.blobs.has(weights)
    with pytest.raises(ModelNotFound, match="model 'base' not found"):
        store.delete("base")
    store.delete("x/copy:v1")
    assert files(store.root / "blobs") == []
    assert files(store.root / "manifests") == []


@pytest.mark.usefixtures("weights")
def test_copy_over_another_model_frees_its_blobs(store: Store) -> None:
    create(store, "other", base="base", system="only here")
    own = [layer for layer in store.resolve("other").manifest.layers if layer.size == 9]
    store.copy("base", "other")
    assert not store.blobs.has(own[0].digest)
    assert store.resolve("other").system == ""


@pytest.mark.usefixtures("weights")
def test_wording_of_refusals(store: Store) -> None:
    with pytest.raises(InvalidName, match=r'^source "a b" is invalid$'):
        store.copy("a b", "c")
    with pytest.raises(InvalidName, match=r'^destination "" is invalid$'):
        store.copy("base", "")
    with pytest.raises(ModelNotFound, match=r'^model "nope" not found$'):
        store.copy("nope", "c")
    with pytest.raises(InvalidName, match=r'^name "x/" is invalid$'):
        store.delete("x/")


def test_a_model_without_its_weights(store: Store, weights: str) -> None:
    store.blobs.delete(weights)
    assert names(store) == ["base:latest"]
    with pytest.raises(StoreError, match=f"model 'base:latest' is incomplete: blob {weights}"):
        store.resolve("base")
    store.delete("base")
    assert names(store) == []


def test_a_model_without_its_system_text(store: Store, weights: str) -> None:
    create(store, "other", files={"x.gguf": weights}, system="gone")
    digest = store.resolve("other").manifest.layers[-1].digest
    store.blobs.delete(digest)
    with pytest.raises(StoreError, match=f"model 'other:latest' is incomplete: blob {digest}"):
        Store(store.root).resolve("other")
    assert names(Store(store.root)) == ["base:latest"]
    store.delete("other")


def test_weights_that_come_back_are_noticed(store: Store, weights: str, model_gguf: Make) -> None:
    store.resolve("base")
    store.blobs.delete(weights)
    with pytest.raises(StoreError, match="incomplete"):
        store.resolve("base")
    store.blobs.put(model_gguf())
    assert store.resolve("base").architecture == "llama"


def test_damaged_weights_do_not_hide_a_model(store: Store, weights: str) -> None:
    store.blobs.path(weights).write_bytes(b"damaged")
    fresh = Store(store.root)
    assert fresh.resolve("base").metadata == {}


@pytest.mark.usefixtures("weights")
def test_nothing_is_deleted_when_so_configured(store: Store) -> None:
    keeping = Store(store.root, keep_unused=True)
    count = len(files(store.root / "blobs"))
    keeping.delete("base")
    for blob in (store.root / "blobs").iterdir():
        os.utime(blob, (0, 0))
    keeping.prune()
    assert len(files(store.root / "blobs")) == count
    store.prune()
    assert files(store.root / "blobs") == []


@pytest.mark.usefixtures("weights")
def test_a_disk_that_refuses_does_not_stop_the_start(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    orphan, _ = store.blobs.put(b"orphan")
    os.utime(store.blobs.path(orphan), (0, 0))
    monkeypatch.setattr(Path, "unlink", refuse)
    store.prune()
    assert "not tidied up" in caplog.text
    assert names(store) == ["base:latest"]


@pytest.mark.usefixtures("weights")
def test_many_threads_leave_a_sound_store(store: Store) -> None:
    """Models that share blobs come and go at once; none may lose a blob."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                model = f"m{number}"
                create(store, model, base="base", system=f"shared {turn}")
                assert store.resolve(model).system == f"shared {turn}"
                store.list()
                store.delete(model)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(store) == ["base:latest"]
    assert len(files(store.root / "blobs")) == 2


@pytest.fixture
def builtin(tmp_path: Path, model_gguf: Make) -> Builtin:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(model_gguf())
    (folder / "Modelfile").write_text(
        "FROM model.gguf\nTEMPLATE {{ .Prompt }}\nSYSTEM Be kind.\nPARAMETER stop END\n"
        "PARAMETER num_ctx 64\nLICENSE MIT\nMESSAGE user hi\nPARSER qwen3\n"
    )
    return Builtin(folder)


class TestBuiltin:
    @pytest.fixture
    def store(self, tmp_path: Path, builtin: Builtin) -> Store:
        return Store(tmp_path / "models", builtin=builtin)

    def test_is_a_model_without_being_in_the_store(self, store: Store) -> None:
        assert names(store) == ["builtin:latest"]
        model = store.resolve("Builtin")
        assert model.model_path is not None
        assert model.model_path.is_file()
        assert (model.template, model.system) == ("{{ .Prompt }}", "Be kind.")
        assert model.params == {"stop": ["END"], "num_ctx": 64}
        assert model.config.parser == "qwen3"
        assert model.details.family == "llama"
        assert [(m.role, m.content) for m in model.messages] == [("user", "hi")]
        assert not store.root.exists()

    def test_cannot_be_deleted(self, store: Store) -> None:
        with pytest.raises(InvalidRequest, match="ships with the program") as caught:
            store.delete("builtin")
        assert "PYOLLAMA_BUILTIN=0" in caught.value.hint

    def test_copy_puts_it_into_the_store(self, store: Store) -> None:
        store.copy("builtin", "mine")
        mine, original = store.resolve("mine"), store.resolve("builtin")
        assert mine.digest == original.digest
        assert mine.params == original.params
        assert mine.model_path == store.blobs.path(mine.manifest.layers[0].digest)
        store.delete("mine")
        assert files(store.root / "blobs") == []

    def test_models_are_made_from_it(self, store: Store) -> None:
        statuses = create(store, "mine", base="builtin", system="New.")
        assert statuses[-2:] == ["writing manifest", "success"]
        mine = store.resolve("mine")
        assert (mine.system, mine.config.parser) == ("New.", "qwen3")
        assert mine.details.parent_model == "builtin:latest"

    def test_a_failure_leaves_none_of_it_behind(self, store: Store) -> None:
        with pytest.raises(StoreError, match="cannot quantize"):
            create(store, "mine", base="builtin", quantize="q8_0")
        assert files(store.root / "blobs") == []

    def test_a_model_of_that_name_goes_first(self, store: Store) -> None:
        create(store, "builtin", base="builtin", system="Mine.")
        assert names(store) == ["builtin:latest"]
        assert store.resolve("builtin").system == "Mine."
        store.delete("builtin")
        assert store.resolve("builtin").system == "Be kind."

    def test_can_be_hidden(self, store: Store) -> None:
        hidden = Store(store.root)
        assert names(hidden) == []
        with pytest.raises(ModelNotFound):
            hidden.resolve("builtin")
