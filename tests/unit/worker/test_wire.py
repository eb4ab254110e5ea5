from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.engine.spec import LoadSpec
from pyollama.errors import EngineError, ErrorInfo
from pyollama.types import (
    ContextShifted,
    Embedded,
    EmbedRequest,
    EngineInfo,
    EngineStats,
    Failed,
    Finished,
    GenerateRequest,
    Grammar,
    SamplingParams,
    TokenLogprob,
    Tokens,
    Usage,
)
from pyollama.worker import wire

TO_WORKER: list[wire.ToWorker] = [
    wire.Load(LoadSpec(path="/m.gguf", adapters=("/a",), tensor_split=(0.5, 0.5)), 20),
    wire.Submit(
        GenerateRequest(
            "a",
            [1, 2, 3],
            SamplingParams(logit_bias={5: -1.5}, grammar=Grammar("root ::= x", lazy=True)),
            stop=("x",),
            logprobs=3,
            adapters=(("/a", 0.5), ("b", 1.0)),
        )
    ),
    wire.Submit(GenerateRequest("c", [1], prompt_logprobs=True, adapters=())),
    wire.Embed(EmbedRequest("b", [[1], [2, 3]])),
    wire.Abort("a"),
    wire.Ping(7),
    wire.Close(),
]
LOGPROB = TokenLogprob("�", -0.5, b"\xff", (TokenLogprob("a", -1.0, b"a"),))
FROM_WORKER: list[wire.FromWorker] = [
    wire.Progress(0.25),
    wire.Ready(EngineInfo(8, 8, 1, 32, 4, 100, 0, True, False)),
    wire.LoadFailed(ErrorInfo("out_of_memory", "no", "less", {"needed": 1})),
    wire.Events(
        [
            Tokens("a", "x", (1, 2), (LOGPROB,)),
            ContextShifted("a", 1, 2),
            Finished("a", "stop", Usage(1, 2, 3, 4, 5, 6), stop="x", prompt_logprobs=b"\0\1"),
            Embedded("b", b"\0\1\2\3", 1, Usage()),
            Failed("c", ErrorInfo("busy", "no")),
        ]
    ),
    wire.Pong(7, EngineStats(0, 1, 4, 10, 512, 99)),
    wire.Pong(8, None),
    wire.Log([(30, "warning")]),
]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda message: type(message).__name__)
def test_messages_to_the_worker_survive(message: wire.ToWorker) -> None:
    (body,) = wire.FrameReader().feed(wire.encode(message))
    assert wire.decode_to_worker(body) == message


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda message: type(message).__name__)
def test_messages_from_the_worker_survive(message: wire.FromWorker) -> None:
    (body,) = wire.FrameReader().feed(wire.encode(message))
    assert wire.decode_from_worker(body) == message


def test_every_cut_gives_the_same_frames() -> None:
    stream = b"".join(wire.encode(message) for message in FROM_WORKER)
    for cut in range(len(stream) + 1):
        reader = wire.FrameReader()
        bodies = [*reader.feed(stream[:cut]), *reader.feed(stream[cut:])]
        assert [wire.decode_from_worker(body) for body in bodies] == FROM_WORKER


def test_a_frame_that_is_too_long_is_refused_before_it_arrives() -> None:
    reader = wire.FrameReader(max_frame=10)
    assert list(reader.feed(b"\x0a\0\0\0" + b"x" * 10)) == [b"x" * 10]
    with pytest.raises(EngineError, match="11 bytes"):
        list(reader.feed(b"\x0b\0\0\0"))


@given(st.lists(st.binary(max_size=60)))
def test_outside_bytes_are_refused_cleanly(chunks: list[bytes]) -> None:
    reader = wire.FrameReader(max_frame=1000)
    try:
        for chunk in chunks:
            for body in reader.feed(chunk):
                wire.decode_from_worker(body)
    except wire.UNREADABLE:
        pass
