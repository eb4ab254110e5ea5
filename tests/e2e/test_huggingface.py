"""Models from repositories on Hugging Face, or rather from a server that speaks as it does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import httpx
import numpy as np
import pytest
from tests.e2e.hub_server import HubServer, Repository, running_hub
from tests.e2e.running import running_server
from tests.native import tiny

from pyollama.errors import AccessDenied, ConfigError, ModelNotFound, RegistryError, StoreError
from pyollama.store.name import Name
from pyollama.store.registry.address import Network
from pyollama.store.registry.candidates import Places
from pyollama.store.registry.huggingface import Hub
from pyollama.store.registry.keys import load_key
from pyollama.store.registry.pull import Pull
from pyollama.store.store import Store

TOKEN = "hf_" + "s3cret" * 6
TEMPLATE = "{{ .System }} {{ .Prompt }}"


def _projector(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_tensor("v.patch_embd.weight", np.ones((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A model in one file and in three, and another one."""
    folder = tmp_path_factory.mktemp("files")
    tiny.llama_like(folder / "big-Q8_0.gguf")
    tiny.llama_like(folder / "big-Q8_0-shard.gguf", split_every=8)
    tiny.bert_like(folder / "other.gguf")
    _projector(folder / "mmproj-F16.gguf")
    found = {path.name: path.read_bytes() for path in folder.glob("*.gguf")}
    return {name.replace("-shard-", "-"): data for name, data in found.items()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> Iterator[HubServer]:
    one, other = files["big-Q8_0.gguf"], files["other.gguf"]
    shards = {f"Q8_0/{name}": data for name, data in files.items() if "-of-" in name}
    texts = {
        "README.md": b"# A model",
        "template": TEMPLATE.encode(),
        "params": json.dumps({"temperature": 0.5, "stop": ["END"]}).encode(),
        "system": b"Be kind.",
    }
    repositories = {
        "space/whole": Repository({"m-Q4_K_M.gguf": one, "m-Q8_0.gguf": other, **texts}),
        "space/shards": Repository({**shards, "m-Q2_K.gguf": other, **texts}),
        "space/nothing": Repository({"README.md": b"", "model.safetensors": b"x"}),
        "space/private": Repository({"m-Q4_K_M.gguf": one}, token=TOKEN),
        "space/vision": Repository({**shards, "mmproj-F16.gguf": files["mmproj-F16.gguf"]}),
        "space/gated": Repository(shards, gated=True),
        "space/broken": Repository({**shards, "params": b"[1]"}),
    }
    with running_hub(tmp_path_factory.mktemp("hub"), repositories) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def tensors(path: Path) -> dict[str, bytes]:
    return {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(path).tensors}


Fetch = Callable[..., list[str]]


@pytest.fixture
def pull(hub: HubServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Pulls ``hf.co/<text>``; the distinct statuses."""
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    hub.requests.clear()

    def run(text: str, token: str = "", host: str = "hf.co") -> list[str]:
        network = Network(private_hosts=("localhost",))
        key = load_key(tmp_path / "keys")
        places = Places(network, key.sign, Hub(hub.url, token), store)
        steps = Pull(store, places, Name.parse(f"{host}/{text}")).steps()
        return list(dict.fromkeys(step.status for step in steps))

    return run


@pytest.mark.parametrize("host", ["hf.co", "huggingface.co", "HF.co"])
def test_a_single_file_comes_by_the_protocol_of_registries(
    pull: Fetch, store: Store, hub: HubServer, host: str, files: dict[str, bytes]
) -> None:
    assert pull("space/whole", host=host)[-1] == "success"
    model = store.resolve(f"{host}/space/whole")
    assert model.model_path is not None
    assert model.model_path.read_bytes() == files["big-Q8_0.gguf"]
    assert model.template == TEMPLATE
    assert model.params == {"temperature": 0.5, "stop": ["END"]}
    assert not [asked for asked in hub.requests if asked.path.startswith("/api/")]


def test_the_tag_is_a_quantisation_in_any_case(
    pull: Fetch, store: Store, files: dict[str, bytes]
) -> None:
    pull("space/whole:q8_0")
    model = store.resolve("hf.co/space/whole:Q8_0")
    assert model.model_path is not None
    assert model.model_path.read_bytes() == files["other.gguf"]


def test_shards_are_fetched_and_made_one(
    pull: Fetch, store: Store, files: dict[str, bytes], tmp_path: Path
) -> None:
    statuses = pull("space/shards:Q8_0")
    assert "merging split GGUF" in statuses
    assert statuses[-2:] == ["writing manifest", "success"]
    model = store.resolve("hf.co/space/shards:Q8_0")
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(files["big-Q8_0.gguf"])
    assert model.model_path is not None
    assert tensors(model.model_path) == tensors(whole)
    assert (model.template, model.system) == (TEMPLATE, "Be kind.")
    assert model.params == {"temperature": 0.5, "stop": ["END"]}
    kept = {path.name for path in store.blobs.folder.iterdir()}
    assert kept == {blob.digest.replace(":", "-") for blob in model.manifest.blobs}


def test_shards_that_have_been_made_one_are_not_fetched_again(
    pull: Fetch, store: Store, hub: HubServer
) -> None:
    pull("space/shards:Q8_0")
    before = store.resolve("hf.co/space/shards:Q8_0").digest
    hub.requests.clear()
    assert pull("space/shards:q8_0")[-1] == "success"
    assert store.resolve("hf.co/space/shards:Q8_0").digest == before
    assert not [asked for asked in hub.requests if asked.place == "cdn"]


def test_a_projector_comes_along(pull: Fetch, store: Store, files: dict[str, bytes]) -> None:
    assert pull("space/vision")[-1] == "success"
    model = store.resolve("hf.co/space/vision")
    assert [path.read_bytes() for path in model.projector_paths] == [files["mmproj-F16.gguf"]]
    assert model.config.model_families == ("llama", "clip")


def test_a_gated_repository_is_a_clear_error_at_once(pull: Fetch, hub: HubServer) -> None:
    with pytest.raises(RegistryError, match=r"403: Forbidden: .* in HF_TOKEN"):
        pull("space/gated:Q8_0")
    assert len([asked for asked in hub.requests if "/resolve/" in asked.path]) == 1


@pytest.mark.parametrize("token", ["two words", "hf_\N{SNOWMAN}", "x" * 2000])
def test_what_is_no_token_is_said_and_not_shown(pull: Fetch, token: str) -> None:
    with pytest.raises(ConfigError, match="HF_TOKEN") as caught:
        pull("space/whole", token)
    assert token not in str(caught.value)


def test_content_is_asked_for_without_credentials(pull: Fetch, hub: HubServer) -> None:
    pull("space/shards:Q8_0", TOKEN)
    for asked in hub.requests:
        assert asked.authorization == ("" if asked.place == "cdn" else f"Bearer {TOKEN}")
    assert {asked.place for asked in hub.requests} == {"hub", "cdn"}


def test_a_private_repository_needs_the_token(pull: Fetch, store: Store) -> None:
    assert pull("space/private", TOKEN)[-1] == "success"
    assert store.resolve("hf.co/space/private").model_path
    for wrong in ("", "hf_wrong"):
        with pytest.raises(AccessDenied) as caught:
            pull("space/private:Q4_K_M", wrong)
        assert "HF_TOKEN" in caught.value.message
        assert "hf_wrong" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("space/shards:Q5_K_M", "no file for the tag 'Q5_K_M', but for Q2_K, Q8_0"),
        ("space/nothing", "the repository has no GGUF files"),
    ],
)
def test_what_is_not_there_is_said(pull: Fetch, text: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        pull(text)


def test_parameters_that_are_none_are_an_error_and_leave_no_model(
    pull: Fetch, store: Store
) -> None:
    with pytest.raises(StoreError, match="file 'params' is not valid"):
        pull("space/broken:Q8_0")
    assert store.list() == []


def test_the_listing_must_not_lead_elsewhere(
    pull: Fetch, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "next_url", hub.cdn_url)
    with pytest.raises(RegistryError, match="another host"):
        pull("space/shards:Q8_0")


def test_a_server_pulls_and_runs_without_showing_the_token(hub: HubServer, tmp_path: Path) -> None:
    settings = {
        **hub.environment,
        "HF_TOKEN": TOKEN,
        "PYOLLAMA_PRIVATE_REGISTRIES": "localhost",
        "OLLAMA_DEBUG": "2",
    }
    with running_server(tmp_path, settings) as server:
        for name in ("hf.co/space/private", "hf.co/space/shards:q8_0"):
            body = {"model": name, "stream": False}
            pulled = httpx.post(f"{server.url}/api/pull", json=body, timeout=None)
            assert (pulled.status_code, pulled.json()) == (200, {"status": "success"})
            answer = httpx.post(
                f"{server.url}/api/generate", json=body | {"prompt": "a b"}, timeout=None
            )
            assert answer.status_code == 200, answer.text
        httpx.request("DELETE", f"{server.url}/api/delete", json={"model": name})
        command = [sys.executable, "-m", "pyollama", "run", name, "a b"]
        ran = subprocess.run(
            command, env=server.environment, capture_output=True, text=True, check=False
        )
        assert (ran.returncode, "merging split GGUF" in ran.stderr) == (0, True), ran.stderr
        missing = {"model": "hf.co/space/shards:nope", "stream": False}
        refused = httpx.post(f"{server.url}/api/pull", json=missing, timeout=None)
        assert "no file for the tag 'nope'" in refused.json()["error"]
        log = server.log.read_text()
    assert TOKEN not in log
