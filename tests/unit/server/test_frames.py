from __future__ import annotations

import re
import time

import msgspec
import pytest

from pyollama.server.ollama.frames import ChatFrames, Clock, GenerateFrames, ProgressFrames
from pyollama.types import Delta, Done, Progress, Rendered, TokenLogprob, ToolCall, Usage

END = Done(
    reason="stop",
    usage=Usage(prompt_tokens=7, completion_tokens=3, prompt_duration=5, eval_duration=6),
    total_duration=9,
    load_duration=1,
    context=(1, 2),
)
METRICS = (
    '"total_duration":9,"load_duration":1,"prompt_eval_count":7,'
    '"prompt_eval_duration":5,"eval_count":3,"eval_duration":6'
)
CALL = ToolCall("f", {"b": 1, "a": 2}, "call_1")


def at_no_time(frame: bytes) -> str:
    return re.sub(r'"created_at":"[^"]*"', '"created_at":""', frame.decode())


def test_generate() -> None:
    frames = GenerateFrames("m<")
    head = '{"model":"m\\u003c","created_at":"",'
    assert at_no_time(frames.frame(Delta("a&b"))) == head + '"response":"a\\u0026b","done":false}'
    thinking = at_no_time(frames.frame(Delta(thinking="t")))
    assert thinking == head + '"response":"","thinking":"t","done":false}'
    end = at_no_time(frames.frame(END))
    assert end == (
        head + '"response":"","done":true,"done_reason":"stop","context":[1,2],' + METRICS + "}"
    )


def test_chat() -> None:
    frames = ChatFrames("m")
    head = '{"model":"m","created_at":"","message":{"role":"assistant","content":'
    assert at_no_time(frames.frame(Delta("hi"))) == head + '"hi"},"done":false}'
    call = at_no_time(frames.frame(Delta(tool_calls=(CALL,))))
    assert call == (
        head + '"","tool_calls":[{"id":"call_1","function":'
        '{"index":0,"name":"f","arguments":{"b":1,"a":2}}}]},"done":false}'
    )
    end = at_no_time(frames.frame(END))
    assert end == head + '""},"done":true,"done_reason":"stop",' + METRICS + "}"


def test_whole_answers_join_their_pieces_and_the_tail() -> None:
    end = msgspec.structs.replace(END, tail=Delta("!", tool_calls=(CALL,)))
    whole = msgspec.json.decode(
        ChatFrames("m").whole([Delta(thinking="t"), Delta("a"), Delta("b"), end])
    )
    assert whole["message"]["content"] == "ab!"
    assert whole["message"]["thinking"] == "t"
    assert whole["message"]["tool_calls"][0]["function"]["name"] == "f"
    assert whole["done"] is True


def test_the_last_frame_of_a_stream_has_the_tail() -> None:
    end = msgspec.structs.replace(END, tail=Delta("!"))
    assert msgspec.json.decode(GenerateFrames("m").frame(end))["response"] == "!"


def test_logprobs() -> None:
    entry = TokenLogprob("a", -0.5, b"a", (TokenLogprob("b", -1.5, b""),))
    frame = msgspec.json.decode(ChatFrames("m").frame(Delta("", logprobs=(entry,))))
    assert frame["logprobs"] == [
        {
            "token": "a",
            "logprob": -0.5,
            "bytes": [97],
            "top_logprobs": [{"token": "b", "logprob": -1.5}],
        }
    ]


def test_loading_has_no_metrics() -> None:
    frame = at_no_time(GenerateFrames("m").whole([Done(reason="load")]))
    assert frame == '{"model":"m","created_at":"","response":"","done":true,"done_reason":"load"}'


def test_rendered_prompts() -> None:
    frame = at_no_time(ChatFrames("m").whole([Rendered("<p>", 2)]))
    assert frame == (
        '{"model":"m","created_at":"","message":{"role":"","content":""},"done":false,'
        '"_debug_info":{"rendered_template":"\\u003cp\\u003e","image_count":2}}'
    )


def test_progress_leaves_out_what_is_zero() -> None:
    frames = ProgressFrames()
    assert frames.frame(Progress("working", "sha256:x", 10)) == (
        b'{"status":"working","digest":"sha256:x","total":10}'
    )
    assert frames.whole([Progress("a"), Progress("success")]) == b'{"status":"success"}'


def test_times_are_utc_with_nanoseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for now, text in (
        (1_700_000_000_000_000_000, b"2023-11-14T22:13:20.000000000Z"),
        (1_700_000_000_123_456_789, b"2023-11-14T22:13:20.123456789Z"),
        (1_700_000_001_000_000_001, b"2023-11-14T22:13:21.000000001Z"),
    ):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        assert clock.now() == text
