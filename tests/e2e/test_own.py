"""Our own routes on a real server: what they say is what the models do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest
from tests.e2e import server_models
from tests.e2e.running import Server, running_server
from tests.native import tiny

from pyollama._native import Context, Model

TEMPLATE = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
SETTINGS = {"OLLAMA_NUM_PARALLEL": "2", "PYOLLAMA_BUILTIN": "0"}
TEXT = "the cat and the hat"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Server]:
    plain = tiny.llama_like(folder / "plain.gguf")
    ranker = tiny.bert_like(folder / "ranker.gguf", gguf.PoolingType.RANK)
    with running_server(tmp_path_factory.mktemp("home"), SETTINGS) as running:
        for model, path, template in (
            ("tiny", plain, TEMPLATE),
            ("own", plain, None),
            ("ranker", ranker, None),
        ):
            files = {path.name: server_models.upload(running, path)}
            server_models.made(running, model, files=files, template=template)
        yield running


def post(server: Server, path: str, **body: Any) -> Any:
    answer = httpx.post(server.url + path, json=body, timeout=None)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("model", ["tiny", "own"])
@pytest.mark.parametrize(
    "asked",
    [
        {"messages": [{"role": "user", "content": TEXT}]},
        {"messages": [{"role": "user", "content": TEXT * 40}] * 5},
        {"prompt": TEXT, "system": "be brief"},
        {"prompt": TEXT, "raw": True},
        {"prompt": TEXT * 90},
    ],
    ids=["chat", "long chat", "generate", "raw", "long prompt"],
)
def test_the_count_is_that_of_the_answer(server: Server, model: str, asked: dict[str, Any]) -> None:
    path = "/api/chat" if "messages" in asked else "/api/generate"
    body = {"model": model, "stream": False, "options": {"num_predict": 1}, **asked}
    counted = post(server, "/api/count_tokens", **body)
    answer = post(server, path, **body)
    assert counted["count"] == answer["prompt_eval_count"]
    assert counted.get("truncated") == answer.get("truncated")


def test_texts_survive_their_tokens(server: Server) -> None:
    found = post(server, "/api/tokenize", model="tiny", text=TEXT, add_special=False)
    assert "".join(found["pieces"]) == TEXT
    back = post(server, "/api/detokenize", model="tiny", tokens=found["tokens"])
    assert back["text"] == TEXT


def test_a_score_is_what_the_logits_say(server: Server, folder: Path) -> None:
    given = post(server, "/api/tokenize", model="tiny", text="a cat")["tokens"]
    plain = post(server, "/api/tokenize", model="tiny", text=TEXT, add_special=False)["tokens"]
    found = post(server, "/api/score", model="tiny", prompt="a cat", text=TEXT)
    assert [entry["id"] for entry in found["tokens"]] == plain
    tokens = [*given, *plain]
    count = len(tokens)
    with Model(folder / "plain.gguf") as model, Context(model, n_ctx=256, n_threads=1) as context:
        context.decode(tokens, range(count), [0] * count, [True] * count)
        logits = context.logits().astype(np.float64)
    total = np.log(np.exp(logits).sum(axis=1))
    rows = range(len(given) - 1, count - 1)
    expected = [logits[row, tokens[row + 1]] - total[row] for row in rows]
    logprobs = [entry["logprob"] for entry in found["tokens"]]
    np.testing.assert_allclose(logprobs, expected, atol=0.02)  # the cache is float16
    assert found["logprob"] == pytest.approx(sum(logprobs))
    assert found["perplexity"] == pytest.approx(np.exp(-np.mean(logprobs)))
    assert found["prompt_eval_count"] == count


def test_ranking_is_by_pairs(server: Server) -> None:
    documents = ["hello world", "the cat sat", "a"]
    body = {"model": "ranker", "query": "the cat", "documents": documents}
    results = post(server, "/api/rerank", **body)["results"]
    scores = [result["relevance_score"] for result in results]
    assert sorted(result["index"] for result in results) == [0, 1, 2]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 3
    alone = post(server, "/api/rerank", **{**body, "documents": documents[1:2]})["results"]
    together = {result["index"]: result["relevance_score"] for result in results}
    assert alone[0]["relevance_score"] == pytest.approx(together[1], abs=1e-3)
    assert len(post(server, "/api/rerank", **body, top_n=2)["results"]) == 2
    other = post(server, "/api/rerank", **{**body, "query": "hello"})["results"]
    assert other[0]["relevance_score"] != scores[0]


def test_a_request_can_be_seen_and_ended(server: Server) -> None:
    body = {"model": "tiny", "prompt": TEXT, "options": {"num_predict": 100_000, "temperature": 2}}
    with httpx.stream("POST", f"{server.url}/api/generate", json=body, timeout=None) as answer:
        lines = answer.iter_lines()
        next(lines)
        (active,) = httpx.get(f"{server.url}/api/requests").json()["requests"]
        assert active["id"] == answer.headers["x-request-id"]
        assert (active["model"], active["state"]) == ("tiny", "writing")
        (model,) = [
            model
            for model in httpx.get(f"{server.url}/api/status").json()["models"]
            if model["name"] == "tiny:latest"
        ]
        assert (model["state"], model["running"]) == ("loaded", 1)
        assert model["context_length"] == tiny.N_CTX_TRAIN
        ended = httpx.delete(f"{server.url}/api/requests/{active['id']}")
        assert ended.status_code == 200
        last = list(lines)[-1]
    assert json.loads(last) == {"error": "request canceled"}
    assert httpx.get(f"{server.url}/api/requests").json() == {"requests": []}


def test_what_was_cached_is_counted(server: Server) -> None:
    body = {
        "model": "tiny",
        "prompt": "a hat " * 20,
        "stream": False,
        "options": {"num_predict": 4},
    }
    for _ in range(2):
        answer = httpx.post(
            f"{server.url}/api/generate",
            json=body,
            headers={"x-pyollama-usage": "true"},
            timeout=None,
        ).json()
    usage = answer["usage"]
    assert usage["prompt_tokens"] == answer["prompt_eval_count"]
    assert usage["cached_tokens"] == usage["prompt_tokens"] - 1
    assert usage["completion_tokens"] == answer["eval_count"]
