"""A prompt of 12 000 tokens in a context of 4096: whatever is dropped is said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import gguf
import httpx
import pytest
from tests.e2e import server_models
from tests.e2e.running import Server, running_server
from tests.native import tiny

N_CTX = 4096
LONG = "".join(f"{n % 10} " for n in range(6_500))  # no token is longer than one of its characters
TEMPLATE = "{{ range .Messages }}[{{ .Role }}]{{ .Content }}\n{{ end }}[assistant]"
SETTINGS = {
    "OLLAMA_CONTEXT_LENGTH": str(N_CTX),
    "OLLAMA_NUM_PARALLEL": "1",
    "PYOLLAMA_BUILTIN": "0",
    "PYOLLAMA_PREFIX_RAM": "0",
}
QUESTION = {"role": "user", "content": LONG}
TURNS = [
    {"role": "system", "content": "keep me"},
    QUESTION,
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "and now"},
]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "generate": ("/api/generate", {"model": "tiny", "prompt": LONG}),
    "generate raw": ("/api/generate", {"model": "tiny", "prompt": LONG, "raw": True}),
    "chat": ("/api/chat", {"model": "tiny", "messages": [QUESTION]}),
    "chat of several turns": ("/api/chat", {"model": "tiny", "messages": TURNS}),
    "chat by the template of the file": ("/api/chat", {"model": "jinja", "messages": TURNS}),
    "embed": ("/api/embed", {"model": "vectors", "input": ["short", LONG]}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("files")
    plain = tiny.llama_like(folder / "plain.gguf", n_ctx_train=2 * N_CTX)
    vectors = tiny.llama_like(
        folder / "vectors.gguf", pooling=gguf.PoolingType.MEAN, n_ctx_train=2 * N_CTX
    )
    with running_server(tmp_path_factory.mktemp("home"), SETTINGS) as running:
        for model, path, template in (
            ("tiny", plain, TEMPLATE),
            ("jinja", plain, None),
            ("vectors", vectors, None),
        ):
            files = {path.name: server_models.upload(running, path)}
            server_models.made(running, model, files=files, template=template)
        yield running


def ask(server: Server, path: str, body: dict[str, Any], **more: Any) -> httpx.Response:
    options = {"num_predict": 2, "temperature": 0}
    wanted = {"options": options, **body, **more}
    return httpx.post(server.url + path, json=wanted, timeout=None)


def last(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    end: dict[str, Any] = json.loads(answer.text.strip().rpartition("\n")[2])
    return end


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_what_was_dropped_is_said(server: Server, name: str, stream: bool) -> None:
    path, body = CASES[name]
    refused = ask(server, path, body, stream=stream, truncate=False)
    assert refused.status_code == 400
    whole, context = map(int, re.findall(r"(\d+)(?: tokens|\))", refused.json()["error"]))
    assert (whole >= 12_000, context) == (True, N_CTX)
    end = last(ask(server, path, body, stream=stream))
    dropped, kept = end["truncated"]["dropped"], end["truncated"]["kept"]
    assert dropped > 0 and kept <= N_CTX
    assert abs(dropped + kept - whole) <= 1  # a token may straddle where turns were taken out
    if path != "/api/embed":
        assert end["prompt_eval_count"] == kept


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"model": "tiny", "messages": [QUESTION], "shift": False}),
        ("/api/generate", {"model": "tiny", "prompt": LONG, "shift": False}),
        ("/api/generate", {"model": "tiny", "prompt": "hi", "system": LONG}),
        ("/api/embeddings", {"model": "vectors", "prompt": LONG}),
    ],
    ids=["a chat without shifting", "without shifting", "a system text", "the older embeddings"],
)
def test_what_cannot_be_cut_is_refused_with_both_numbers(
    server: Server, path: str, body: dict[str, Any], stream: bool
) -> None:
    refused = ask(server, path, body, stream=stream)
    assert refused.status_code == 400
    whole, context = map(int, re.findall(r"(\d+)(?: tokens|\))", refused.json()["error"]))
    assert (whole >= 12_000, context) == (True, N_CTX)


def test_what_fits_says_nothing(server: Server) -> None:
    for path, body in (
        ("/api/generate", {"model": "tiny", "prompt": "hi"}),
        ("/api/chat", {"model": "tiny", "messages": TURNS[-1:]}),
        ("/api/embed", {"model": "vectors", "input": "hi"}),
    ):
        end = last(ask(server, path, body))
        assert "truncated" not in end and "shifted" not in end


def test_what_a_long_answer_pushes_out_is_said(server: Server) -> None:
    options = {"num_ctx": 64, "num_predict": 100, "temperature": 1, "seed": 1}
    end = last(ask(server, "/api/generate", {"model": "tiny", "prompt": "a"}, options=options))
    assert end["eval_count"] == 100
    assert end["shifted"] > 0


def test_a_smaller_context_is_a_limit_not_another_load(server: Server) -> None:
    body = {"model": "tiny", "prompt": LONG}
    ask(server, "/api/generate", {"model": "tiny"})
    processes = [worker.pid for worker in server.workers()]
    for num_ctx in (2048, 64, 1024):
        end = last(ask(server, "/api/generate", body, options={"num_ctx": num_ctx}))
        assert end["prompt_eval_count"] == end["truncated"]["kept"] < num_ctx
    assert [worker.pid for worker in server.workers()] == processes
    running = httpx.get(f"{server.url}/api/ps").json()["models"]
    assert {model["context_length"] for model in running} == {N_CTX}
    shown = ask(server, "/api/show", {"model": "tiny"}, verbose=True)
    assert shown.json()["context_length"] == N_CTX
