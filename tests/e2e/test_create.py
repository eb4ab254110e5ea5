"""Models made of files: converted, merged, quantised, with adapters; by HTTP and by command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from tests.e2e import checkpoints
from tests.e2e.checkpoints import Array, Checkpoint
from tests.e2e.running import Server, running_server
from tests.e2e.server_models import (
    NO_LIMIT,
    TOKENS,
    blobs,
    converters,
    create,
    difference,
    logits_of,
    made,
    shown,
    upload,
    uploaded,
    weights_of,
)
from tests.native import steps, tiny

from pyollama import _native
from pyollama._native import Context, Model
from pyollama.convert import process
from pyollama.errors import StoreError

pytest.importorskip("transformers", reason="needs pyollama[convert]")
tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.llama(tmp_path_factory.mktemp("c") / "llama")


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoints.qwen2(tmp_path_factory.mktemp("c") / "qwen2")


def pyollama(server: Server, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyollama", *arguments],
        env=server.environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_converted_model_computes_what_its_checkpoint_says(
    server: Server, request: pytest.FixtureRequest, kind: str
) -> None:
    checkpoint: Checkpoint = request.getfixturevalue(kind)
    assert made(server, kind, files=uploaded(server, checkpoint.folder)) == [
        *("converting model", "verifying conversion", "creating new layer"),
        *("writing manifest", "success"),
    ]
    details = shown(server, kind)["details"]
    assert (details["family"], details["quantization_level"]) == (kind, "F16")
    path = weights_of(server, kind)
    assert difference(logits_of(path), checkpoint.expected(TOKENS)) < 1e-2
    tokenizer = tokenizers.Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    for text in ("the small boat", "It's 1234 boats,\n\n and  the Sea!", "日本 😀"):
        found = Model(path).tokenize(text, add_special=False).tolist()
        assert found == tokenizer.encode(text).ids


def test_a_converted_encoder_embeds_as_its_checkpoint_says(server: Server, tmp_path: Path) -> None:
    checkpoint = checkpoints.bert(tmp_path / "bert")
    made(server, "bert", files=uploaded(server, checkpoint.folder))
    assert shown(server, "bert")["capabilities"] == ["embedding"]
    answer = httpx.post(
        f"{server.url}/api/embed",
        json={"model": "bert", "input": ["the small boat", "wind"]},
        timeout=NO_LIMIT,
    ).json()
    words = [[2, 5, 9, 6, 3], [2, 10, 3]]  # [CLS] ... [SEP]
    for found, tokens in zip(answer["embeddings"], words, strict=True):
        assert difference(np.array(found), checkpoint.expected(tokens)) < 1e-2


def test_a_model_that_sees_gets_a_projector_beside_it(server: Server, tmp_path: Path) -> None:
    checkpoint = checkpoints.seeing(tmp_path / "seeing")
    statuses = made(server, "seeing", files=uploaded(server, checkpoint.folder))
    assert statuses[:2] == ["converting model", "converting projector"]
    assert shown(server, "seeing")["capabilities"] == ["completion", "vision"]
    assert difference(logits_of(weights_of(server, "seeing")), checkpoint.expected(TOKENS)) < 1e-2
    assert shown(server, "seeing")["projector_info"]["clip.projector_type"] == "idefics3"


def test_converted_and_quantised_in_one_go(server: Server, qwen2: Checkpoint) -> None:
    before = blobs(server)
    statuses = made(server, "small", files=uploaded(server, qwen2.folder), quantize="q8_0")
    assert statuses[:2] == ["converting model", "quantizing F16 model to Q8_0"]
    assert shown(server, "small")["details"]["quantization_level"] == "Q8_0"
    path = weights_of(server, "small")
    assert difference(logits_of(path), qwen2.expected(TOKENS)) < 5e-2
    uploads = {f"sha256-{hashlib.sha256(p.read_bytes()).hexdigest()}" for p in qwen2.files}
    kept = {path.name for path in map(Path, _layers(server, "small"))}
    assert blobs(server) - before <= uploads | kept  # nothing that was only needed in between


def test_32_bits_are_kept_where_asked_for(server: Server, qwen2: Checkpoint) -> None:
    made(server, "full", files=uploaded(server, qwen2.folder), quantize="f32")
    assert difference(logits_of(weights_of(server, "full")), qwen2.expected(TOKENS)) < 1e-3


def test_an_adapter_in_safetensors_format(
    server: Server, llama: Checkpoint, tmp_path: Path
) -> None:
    adapter = checkpoints.lora(tmp_path / "lora")
    made(server, "plain", files=uploaded(server, llama.folder))
    adapters = uploaded(server, tmp_path / "lora")
    changed = checkpoints.decode(checkpoints.with_lora(llama.weights, adapter), TOKENS)
    assert difference(changed, llama.expected(TOKENS)) > 0.1
    # The model is a GGUF file by now, or its own files are there too.
    made(server, "of-model", **{"from": "plain"}, adapters=adapters)
    made(server, "of-files", files=uploaded(server, llama.folder), adapters=adapters)
    for name in ("of-model", "of-files"):
        found = _logits_with(weights_of(server, name), weights_of(server, name, "ADAPTER"))
        assert difference(found, changed) < 1e-2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config.json": None}, "open config.json: no such file"),
        ({"config.json": {"architectures": ["NoSuchModel"]}}, 'unsupported architecture "NoSuch'),
        ({"config.json": ["not an object"]}, "cannot be converted"),
        ({"tokenizer.json": None}, "cannot be converted"),
        ({"model-00002-of-00002.safetensors": None}, "cannot be converted"),
    ],
)
def test_what_cannot_be_converted_is_named_and_leaves_no_trace(
    server: Server, llama: Checkpoint, tmp_path: Path, change: Mapping[str, Any], message: str
) -> None:
    files = uploaded(server, llama.folder)
    for name, content in change.items():
        del files[name]
        if content is not None:
            (tmp_path / "changed").write_text(json.dumps(content))
            files[name] = upload(server, tmp_path / "changed")
    before = blobs(server)
    first, *_, last = create(server, model="broken", files=files)
    assert first == {"status": "converting model"}
    assert message in last["error"]
    assert blobs(server) == before
    assert _tags(server).isdisjoint({"broken:latest"})


def test_code_of_a_model_is_not_run(server: Server, llama: Checkpoint, tmp_path: Path) -> None:
    """A tokenizer that names a class of its own is read without it."""
    flag = tmp_path / "was-run"
    program = f"open({str(flag)!r}, 'w')\nclass Own:\n    pass\n"
    (tmp_path / "tokenization_own.py").write_text(program)
    config = json.loads((llama.folder / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    files = uploaded(server, llama.folder)
    for name in ("tokenization_own.py", "tokenizer_config.json"):
        files[name] = upload(server, tmp_path / name)
    create(server, model="own-code", files=files)
    assert not flag.exists()


def test_files_of_the_server_are_no_part_of_a_model(
    server: Server, llama: Checkpoint, tmp_path: Path
) -> None:
    """The index of a model says where its weights are; it may only name what was uploaded."""
    files = uploaded(server, llama.folder)
    index = json.loads((llama.folder / "model.safetensors.index.json").read_text())
    index["weight_map"] = {k: str(llama.folder / v) for k, v in index["weight_map"].items()}
    (tmp_path / "index.json").write_text(json.dumps(index))
    files["model.safetensors.index.json"] = upload(server, tmp_path / "index.json")
    assert "is no part of the model" in create(server, model="never", files=files)[-1]["error"]


def test_a_client_that_leaves_ends_the_conversion(server: Server, llama: Checkpoint) -> None:
    files = uploaded(server, llama.folder)
    before = blobs(server)
    body = {"model": "left", "files": files}
    with httpx.stream("POST", f"{server.url}/api/create", json=body, timeout=NO_LIMIT) as answer:
        lines = answer.iter_lines()
        next(lines)
        next(lines)  # the second one comes from the process that converts
        assert converters(server)
    while converters(server) or blobs(server) != before:
        time.sleep(0.05)
    assert "left:latest" not in _tags(server)


def test_a_conversion_has_an_end(
    llama: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_SECONDS", 0.0)
    monkeypatch.setattr(process, "_SECONDS_PER_BYTE", 0.0)
    convert = process.Converter(Path(_native.__file__).parent / "converter")
    with pytest.raises(StoreError, match="took too long and was stopped"):
        list(convert(llama.folder, tmp_path / "x.gguf"))
    children = psutil.Process().children()
    assert not [child for child in children if "pyollama.convert" in child.cmdline()]


def test_parts_of_a_split_file_become_one_again(server: Server, tmp_path: Path) -> None:
    whole = tiny.llama_like(tmp_path / "whole.gguf")
    tiny.llama_like(tmp_path / "part.gguf", split_every=8)
    parts = sorted(tmp_path.glob("part-*-of-00003.gguf"))
    files = {path.name: upload(server, path) for path in reversed(parts)}
    statuses = made(server, "merged", files=files)
    assert statuses[:2] == ["parsing GGUF", "merging split GGUF"]
    assert np.array_equal(logits_of(weights_of(server, "merged")), logits_of(whole))
    del files[parts[1].name]
    assert "part 2 of 3 is missing" in create(server, model="hole", files=files)[-1]["error"]


def test_a_killed_server_takes_the_conversion_with_it(llama: Checkpoint, tmp_path: Path) -> None:
    with running_server(tmp_path / "home") as server:
        body = {"model": "never", "files": uploaded(server, llama.folder)}
        url = f"{server.url}/api/create"
        with httpx.stream("POST", url, json=body, timeout=NO_LIMIT) as answer:
            lines = answer.iter_lines()
            next(lines)
            next(lines)  # the second one comes from the process that converts
            (converter,) = converters(server)
            server.process.kill()
        psutil.wait_procs([converter])
        assert not converter.is_running()


class TestCommand:
    def test_a_folder_is_uploaded_as_far_as_it_is_needed(
        self, server: Server, qwen2: Checkpoint, tmp_path: Path
    ) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        for path in qwen2.files:
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "README.md").write_text("never uploaded")
        (folder / "optimizer.bin").write_bytes(b"never uploaded either")
        (tmp_path / "Modelfile").write_text("FROM ./model\nSYSTEM Be kind.\n")
        done = pyollama(server, "create", "by-command", "-q", "Q8_0", folder=tmp_path)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        for name in ("README.md", "optimizer.bin"):
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            assert f"sha256-{digest}" not in blobs(server)
        assert shown(server, "by-command")["system"] == "Be kind."
        path = weights_of(server, "by-command")
        assert difference(logits_of(path), qwen2.expected(TOKENS)) < 5e-2

    def test_without_a_modelfile_it_is_the_folder(
        self, server: Server, llama: Checkpoint, tmp_path: Path
    ) -> None:
        done = pyollama(server, "create", "bare", folder=llama.folder)
        assert done.returncode == 0, done.stderr
        assert shown(server, "bare")["details"]["family"] == "llama"
        empty = pyollama(server, "create", "bare", folder=tmp_path)
        assert empty.returncode == 1
        assert "Error: no Modelfile or safetensors files found" in empty.stderr

    def test_one_part_of_a_split_file_brings_the_others(
        self, server: Server, tmp_path: Path
    ) -> None:
        tiny.llama_like(tmp_path / "part.gguf", split_every=8)
        (tmp_path / "Modelfile").write_text("FROM ./part-00002-of-00003.gguf\n")
        done = pyollama(server, "create", "parts", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        whole = tiny.llama_like(tmp_path / "whole.gguf")
        assert np.array_equal(logits_of(weights_of(server, "parts")), logits_of(whole))

    def test_an_adapter_folder(self, server: Server, llama: Checkpoint, tmp_path: Path) -> None:
        checkpoints.lora(tmp_path / "lora")
        (tmp_path / "Modelfile").write_text(f"FROM {llama.folder}\nADAPTER ./lora\n")
        done = pyollama(server, "create", "with-adapter", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert weights_of(server, "with-adapter", "ADAPTER").is_file()

    def test_links_out_of_the_folder_are_not_followed(self, server: Server, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        (tmp_path / "secret.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"")
        (folder / "config.json").symlink_to(tmp_path / "secret.json")
        (tmp_path / "Modelfile").write_text("FROM ./model\n")
        done = pyollama(server, "create", "linked", folder=tmp_path)
        assert done.returncode == 1
        assert "Error: insecure path: config.json" in done.stderr
        assert f"sha256-{hashlib.sha256(b'{}').hexdigest()}" not in blobs(server)


def _layers(server: Server, model: str) -> list[str]:
    root = server.home / ".ollama" / "models"
    path = root / "manifests" / "registry.ollama.ai" / "library" / model / "latest"
    manifest = json.loads(path.read_text())
    digests = [layer["digest"] for layer in (*manifest["layers"], manifest["config"])]
    return [digest.replace(":", "-") for digest in digests]


def _tags(server: Server) -> set[str]:
    models = httpx.get(f"{server.url}/api/tags").json()["models"]
    return {model["name"] for model in models}


def _logits_with(path: Path, adapter: Path) -> Array:
    model = Model(path)
    context = Context(model, n_ctx=64)
    context.set_adapters([(model.adapter(adapter), 1.0)])
    return steps.last_logits(context, TOKENS)
