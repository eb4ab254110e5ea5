"""A server process with real workers, used through real clients."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import ollama
import psutil
import pytest
from tests.e2e.running import Server, running_server
from tests.native import tiny

TEMPLATE = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)
# Thousands of tokens, chosen by chance among those that do not end an answer; one that repeats
# itself would be ended.
LONG = {"num_predict": 100_000, "temperature": 1, "top_k": 40, "num_ctx": tiny.N_CTX_TRAIN}


SETTINGS = {"OLLAMA_NUM_PARALLEL": "4", "PYOLLAMA_BUILTIN": "0"}


def worker_seconds(server: Server) -> float:
    """Processor time that the workers have used."""
    return sum(sum(worker.cpu_times()[:2]) for worker in server.workers())


def until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def stop(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home"), SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ollama.Client]:
    """The official client; ``tiny`` and ``jinja`` are there to chat, ``vectors`` to embed."""
    folder = tmp_path_factory.mktemp("files")
    client = ollama.Client(server.url)
    for name, path, template in (
        ("tiny", tiny.llama_like(folder / "llama.gguf"), TEMPLATE),
        ("jinja", folder / "llama.gguf", None),
        ("vectors", tiny.bert_like(folder / "bert.gguf"), None),
    ):
        files = {path.name: client.create_blob(path)}
        status = client.create(name, files=files, template=template, stream=False)
        assert status.status == "success"
    yield client
    client._client.close()


@pytest.fixture
def draft(client: ollama.Client, tmp_path: Path) -> Iterator[str]:
    path = tiny.llama_like(tmp_path / "draft.gguf", n_layer=1)
    client.create("draft", files={path.name: client.create_blob(path)})
    yield "draft"
    client.delete("draft")


def test_a_request_names_its_draft_model(server: Server, client: ollama.Client, draft: str) -> None:
    def ask(**options: Any) -> httpx.Response:
        """The official client would leave out an option that it does not know."""
        fixed = {"temperature": 0, "num_predict": 40, **options}
        body = {"model": "tiny", "prompt": "a cat", "options": fixed, "stream": False}
        answer: httpx.Response = client._client.post("/api/generate", json=body)
        return answer

    def said(**options: Any) -> tuple[str, psutil.Process]:
        """The answer, and the process that the model is in."""
        return ask(**options).json()["response"], server.workers()[-1]

    client.generate("vectors", keep_alive=0)
    client.generate("tiny", keep_alive=0)
    plain, without = said()
    drafted, with_draft = said(draft_model=draft)
    assert drafted == plain and with_draft != without
    assert said() == (plain, with_draft), "a request that names none is served as well"
    for name, status in (("nowhere", 404), ("tiny", 400), (7, 500)):
        refused = ask(draft_model=name)
        assert refused.status_code == status and "draft" in refused.json()["error"]
    client.generate("tiny", keep_alive=0)


def test_listing(client: ollama.Client) -> None:
    listed = {model.model for model in client.list().models}
    assert listed == {"tiny:latest", "jinja:latest", "vectors:latest"}
    shown = client.show("tiny")
    assert shown.template == TEMPLATE
    assert shown.modelinfo
    assert shown.modelinfo["general.architecture"] == "llama"


def test_chat(client: ollama.Client) -> None:
    messages = [{"role": "user", "content": "the cat and the hat"}]
    options = {"temperature": 0, "num_predict": 12}
    whole = client.chat("tiny", messages, options=options)
    assert whole.done
    assert whole.eval_count
    assert whole.eval_count <= 12
    parts = list(client.chat("tiny", messages, options=options, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts[-2:]] == [False, True]
    assert parts[-1].prompt_eval_count == whole.prompt_eval_count


def test_generate_goes_on_from_a_context(client: ollama.Client) -> None:
    first = client.generate("tiny", "the cat", options={"num_predict": 4, "seed": 1})
    assert first.context
    second = client.generate(
        "tiny", "and", context=first.context, options={"num_predict": 4, "seed": 1}
    )
    assert second.context
    assert list(second.context[:4]) == list(first.context[:4])


def test_embed(client: ollama.Client) -> None:
    embeddings = client.embed("vectors", ["hello world", "the cat sat"]).embeddings
    assert len(embeddings) == 2
    for vector in embeddings:
        assert sum(value * value for value in vector) == pytest.approx(1, abs=1e-4)


def test_a_ranker_makes_no_vectors(client: ollama.Client, tmp_path: Path) -> None:
    path = tiny.bert_like(tmp_path / "ranker.gguf", gguf.PoolingType.RANK)
    client.create("ranker", files={path.name: client.create_blob(path)}, stream=False)
    with pytest.raises(ollama.ResponseError, match="it scores pairs of texts") as refused:
        client.embed("ranker", "hello world")
    assert refused.value.status_code == 501
    client.delete("ranker")


def test_schema(client: ollama.Client) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["n"],
    }
    answer = client.generate("tiny", "a number", format=schema, options={"num_predict": 64})
    assert json.loads(answer.response or "")["n"] in range(100)


def test_a_schema_that_cannot_be_enforced(client: ollama.Client) -> None:
    schema = {"type": "array", "uniqueItems": True}
    for stream in (True, False):
        with pytest.raises(ollama.ResponseError, match='"uniqueItems"') as caught:
            list(client.generate("tiny", "a list", format=schema, stream=stream))
        assert caught.value.status_code == 400


def test_load_and_unload(client: ollama.Client) -> None:
    assert client.generate("tiny").done_reason == "load"
    assert "tiny:latest" in {model.model for model in client.ps().models}
    assert client.generate("tiny", keep_alive=0).done_reason == "unload"
    until(lambda: not any(m.model == "tiny:latest" for m in client.ps().models), seconds=10)


def test_errors_have_a_status(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat("nothing", [{"role": "user", "content": "x"}])
    assert (caught.value.status_code, caught.value.error) == (404, "model 'nothing' not found")
    with pytest.raises(ollama.ResponseError, match="does not support chat"):
        client.chat("vectors", [{"role": "user", "content": "x"}])


def test_curl(server: Server, client: ollama.Client) -> None:
    """curl sends a form's content type and writes lines as they come."""
    body = '{"model":"tiny","prompt":"the","options":{"num_predict":3,"seed":5}}'
    command = ["curl", "-sN", f"{server.url}/api/generate", "-d", body]
    run = subprocess.run(command, capture_output=True, check=True, timeout=60)
    frames = [json.loads(line) for line in run.stdout.splitlines()]
    assert frames[-1]["done"] is True
    assert frames[-1]["done_reason"] in ("length", "stop")


def test_copy_and_delete(client: ollama.Client) -> None:
    client.copy("tiny", "second")
    assert client.show("second").details == client.show("tiny").details
    client.delete("second")
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.show("second")


def test_a_worker_that_is_killed_ends_its_stream_and_is_replaced(
    server: Server, client: ollama.Client
) -> None:
    stream = client.generate("jinja", "the cat", options=LONG, stream=True)
    next(stream)
    for worker in server.workers():
        worker.kill()
    with pytest.raises(ollama.ResponseError, match="worker"):
        for _ in stream:
            pass
    assert client.generate("tiny", "the", options={"num_predict": 1}).done


async def leave_early(server: Server, random_: random.Random) -> None:
    """Ask for a long answer and hang up at some moment of it, or before it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = json.dumps({"model": "jinja", "prompt": "the cat", "options": LONG}).encode()
    head = f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    whole = head.encode() + body
    writer.write(whole[: random_.choice([len(whole)] * 9 + [len(whole) // 2])])
    try:
        async with asyncio.timeout(random_.random() * 0.3):
            while await reader.read(4096):
                pass
    except TimeoutError:
        pass
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def hang_up(server: Server, times: int) -> None:
    random_ = random.Random(7)
    gate = asyncio.Semaphore(8)

    async def one() -> None:
        async with gate:
            await leave_early(server, random_)

    await asyncio.gather(*(one() for _ in range(times)))


def test_clients_that_leave_free_their_slots_and_leak_nothing(
    server: Server, client: ollama.Client
) -> None:
    client.generate("jinja", "the", options={"num_predict": 1, "num_ctx": 128})
    asyncio.run(hang_up(server, 100))
    before = rss(server)
    asyncio.run(hang_up(server, 100))
    assert rss(server) < before * 1.05 + (2 << 20)

    def idle() -> bool:
        used = worker_seconds(server)
        time.sleep(0.5)
        return worker_seconds(server) - used < 0.05

    until(idle, seconds=5)
    assert client.generate("jinja", "the", options={"num_predict": 1, "num_ctx": 128}).done


def rss(server: Server) -> int:
    processes = [psutil.Process(server.process.pid), *server.workers()]
    return sum(process.memory_info().rss for process in processes)


def test_sigterm_ends_the_server_and_its_workers(tmp_path: Path) -> None:
    with running_server(tmp_path, SETTINGS) as server:
        path = tiny.llama_like(tmp_path / "llama.gguf")
        client = ollama.Client(server.url)
        client.create("tiny", files={path.name: client.create_blob(path)}, stream=False)
        stream = client.generate("tiny", "the cat", options=LONG, stream=True)
        next(stream)
        workers = server.workers()
        assert workers
        stop(server)
        assert server.process.returncode == 0
        assert not [worker for worker in workers if worker.is_running()]
        with pytest.raises(ollama.ResponseError):
            for _ in stream:
                pass
        client._client.close()
