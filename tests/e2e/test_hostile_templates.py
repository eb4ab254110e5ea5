"""Models whose Jinja template does harm: the request ends in an error, and the server goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.e2e.running import Server, running_server
from tests.native import tiny
from tests.native.hostile_templates import HOSTILE

from pyollama.store.gguf import read_gguf
from pyollama.store.gguf_writer import copied_fields, copied_tensor, scalar, write_gguf

GOOD = "good"
SOME = (
    *("loop that takes years", "list of ten billion"),
    *("text that doubles", "macro that calls itself"),
)
OPTIONS = {"num_predict": 1, "num_ctx": 128}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    with running_server(home, {"PYOLLAMA_BUILTIN": "0"}) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Knows ``good``, and a model for each hostile template, named by its number."""
    folder = tmp_path_factory.mktemp("files")
    plain = tiny.llama_like(folder / "plain.gguf", n_layer=1)
    texts = {GOOD: tiny.CHAT_TEMPLATE}
    texts |= {str(number): text for number, (text, _) in enumerate(HOSTILE.values())}
    with httpx.Client(base_url=server.url, timeout=120) as client:
        for name, text in texts.items():
            create(client, name, with_template(plain, folder / f"{name}.gguf", text))
        yield client


def with_template(plain: Path, path: Path, text: str) -> Path:
    header = read_gguf(plain)
    fields = copied_fields(header) | {"tokenizer.chat_template": scalar("string", text)}
    with path.open("wb") as file:
        for _ in write_gguf(file, fields, [copied_tensor(header, one) for one in header.tensors]):
            pass
    return path


def create(client: httpx.Client, name: str, path: Path) -> None:
    data = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    client.post(f"/api/blobs/{digest}", content=data).raise_for_status()
    body = {"model": name, "files": {path.name: digest}, "stream": False}
    client.post("/api/create", json=body).raise_for_status()


def chat(client: httpx.Client, model: str) -> httpx.Response:
    messages = [{"role": "user", "content": "the cat"}]
    body = {"model": model, "messages": messages, "options": OPTIONS, "stream": False}
    return client.post("/api/chat", json=body)


def name_of(hostile: str) -> str:
    return str(list(HOSTILE).index(hostile))


@pytest.mark.parametrize("hostile", SOME)
def test_a_hostile_template_ends_its_request(
    server: Server, client: httpx.Client, hostile: str
) -> None:
    shown = client.post("/api/show", json={"model": name_of(hostile)})
    assert shown.status_code == 200 and shown.json()["details"]["family"] == "llama"
    refused = chat(client, name_of(hostile))
    assert refused.status_code in (400, 500)
    assert "chat template: it" in refused.json()["error"]
    assert chat(client, GOOD).status_code == 200
    assert server.process.poll() is None


def test_the_server_answers_while_templates_do_harm(server: Server, client: httpx.Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        bad = pool.submit(chat, client, name_of(SOME[0]))
        while not bad.done():
            assert client.get("/api/version").status_code == 200
            assert client.get("/api/tags").status_code == 200
        assert bad.result().status_code in (400, 500)
    answer = chat(client, GOOD)
    assert answer.status_code == 200 and json.loads(answer.text)["done"]


def test_a_template_that_is_none_is_an_error(client: httpx.Client) -> None:
    refused = chat(client, name_of("no template"))
    assert refused.status_code in (400, 500)
    assert "chat template" in refused.json()["error"]
