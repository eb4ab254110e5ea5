"""The Python API on a tiny model."""

from __future__ import annotations

import asyncio
import gc
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.native import tiny

import pyollama
from pyollama import LLM, Grammar, Message
from pyollama.errors import (
    ContextLengthExceeded,
    EngineClosed,
    InvalidRequest,
    ModelNotFound,
    RequestError,
    UnsupportedCapability,
)
from pyollama.service.vocabulary import Vocabulary

PROMPT = "the cat and the hat and the "


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama_like(tmp_path_factory.mktemp("model") / "llama.gguf")


@pytest.fixture(scope="module")
def llm(path: Path) -> Iterator[LLM]:
    with LLM(path, n_ctx=256, n_threads=2) as loaded:
        yield loaded


def test_tokens_and_back(llm: LLM) -> None:
    tokens = llm.tokenize("the cat and <|im_start|>", add_special=False)
    assert llm.detokenize(tokens) == "the cat and <|im_start|>"
    assert len(llm.tokenize("<|im_start|>", parse_special=False)) > 1


def test_generate(llm: LLM) -> None:
    answer = llm.generate(PROMPT, temperature=0, max_tokens=8, logprobs=2)
    assert answer.usage.prompt_tokens == len(llm.tokenize(PROMPT))
    assert answer.usage.completion_tokens <= 8
    assert "".join(entry.token for entry in answer.logprobs) == answer.text
    assert all(len(entry.top) == 2 for entry in answer.logprobs)
    assert llm.generate(llm.tokenize(PROMPT), temperature=0, max_tokens=8).text == answer.text


def test_a_draft_model_changes_no_answer(llm: LLM, path: Path, tmp_path: Path) -> None:
    draft = tiny.llama_like(tmp_path / "draft.gguf", n_layer=1)
    expected = llm.generate(PROMPT, temperature=0, max_tokens=40, max_draft=0)
    with LLM(path, draft=draft, n_ctx=256, n_threads=1) as drafting:
        answer = drafting.generate(PROMPT, temperature=0, max_tokens=40)
    assert answer.tokens == expected.tokens
    with pytest.raises(ModelNotFound, match="nowhere"):
        LLM(path, draft="nowhere.gguf")


@pytest.mark.parametrize(
    ("wanted", "pattern"),
    [
        ({"enum": ["yes", "no"]}, r'"(yes|no)"'),
        (Grammar("(ab){1,3}", "regex"), "(ab){1,3}"),
        (Grammar('start: "<" /[0-9]{2}/ ">"', "lark"), "<[0-9]{2}>"),
        (Grammar('root ::= [a-c] "!"'), "[a-c]!"),
    ],
)
def test_formats(llm: LLM, wanted: dict[str, object] | Grammar, pattern: str) -> None:
    for answer in (
        llm.generate(PROMPT, format=wanted, temperature=1.5),
        llm.chat([Message("user", "which?")], format=wanted, temperature=1.5),
    ):
        assert re.fullmatch(pattern, answer.text) and answer.finish_reason == "stop"


def test_a_format_that_cannot_be_held(llm: LLM) -> None:
    for wanted in ({"type": "array", "uniqueItems": True}, "yaml", Grammar("(", "regex")):
        with pytest.raises(RequestError):
            llm.generate(PROMPT, format=wanted)


def test_a_stream_ends_in_the_answer(llm: LLM) -> None:
    whole = llm.generate(PROMPT, temperature=0, max_tokens=12)
    stream = llm.generate(PROMPT, temperature=0, max_tokens=12, stream=True)
    assert "".join(stream) == whole.text
    assert stream.result().tokens == whole.tokens


def test_a_stream_that_is_left_frees_its_slot(llm: LLM) -> None:
    with llm.generate(PROMPT, max_tokens=-1, stream=True, shift=True) as stream:
        next(stream)
    deadline = time.monotonic() + 20
    while llm.wait(llm.astats()).running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert llm.wait(llm.astats()).running == 0


def test_a_seed_repeats(llm: LLM) -> None:
    first, again, other = (
        llm.generate(PROMPT, temperature=1.5, seed=seed, max_tokens=30).tokens for seed in (7, 7, 8)
    )
    assert first == again != other


def test_messages_may_be_mappings(llm: LLM) -> None:
    plain = llm.chat([{"role": "user", "content": "hello"}], temperature=0, max_tokens=8)
    assert plain.text == llm.chat([Message("user", "hello")], temperature=0, max_tokens=8).text
    with pytest.raises(InvalidRequest, match=r"messages\[1\]: unknown fields text"):
        llm.chat([Message("user", "a"), {"role": "user", "text": "b"}])
    with pytest.raises(InvalidRequest, match=r"messages\[0\]: .*role"):
        llm.chat([{"content": "b"}])


def test_chat(llm: LLM) -> None:
    answer = llm.chat([Message("user", "hello")], temperature=0, max_tokens=8)
    assert answer.message.role == "assistant"
    assert answer.usage.prompt_tokens == len(
        llm.tokenize("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n")
    )
    stream = llm.chat([Message("user", "hello")], temperature=0, max_tokens=8, stream=True)
    assert "".join(delta.content for delta in stream) == answer.text


def test_what_the_model_cannot_do(llm: LLM) -> None:
    with pytest.raises(UnsupportedCapability):
        llm.embed("hello")
    with pytest.raises(UnsupportedCapability):
        llm.chat([Message("user", "hello")], think=True)
    with pytest.raises(ContextLengthExceeded):
        llm.generate([1] * 256)


def test_a_session_computes_what_is_new(llm: LLM) -> None:
    session = llm.session(PROMPT)
    first = session.generate(temperature=0, max_tokens=6)
    held = len(session.tokens)
    second = session.generate(" and then", temperature=0, max_tokens=6)
    assert second.usage.cached_tokens >= held - 1
    assert session.text.startswith(PROMPT + first.text)


def test_forks_share_what_they_have_in_common(llm: LLM) -> None:
    # After a prompt of this length no token of the answer is nearly a tie, which the order of
    # summing in a batch would decide differently from time to time.
    session = llm.session(PROMPT * 4)
    forks = [session.fork() for _ in range(3)]
    llm.save_state(session.tokens)
    answers = [fork.generate(temperature=0, max_tokens=6) for fork in forks]
    assert len({answer.tokens for answer in answers}) == 1
    assert {answer.usage.cached_tokens for answer in answers} == {len(session.tokens) - 1}
    assert len(forks[0].tokens) > len(session.tokens)


def test_a_saved_state_survives_the_model(path: Path, llm: LLM) -> None:
    state = llm.save_state(PROMPT)
    with LLM(path, n_ctx=256, n_threads=2) as other:
        session = other.load_state(state)
        answer = session.generate(temperature=0, max_tokens=6)
        assert answer.usage.cached_tokens == answer.usage.prompt_tokens - 1
    assert answer.text == llm.generate(PROMPT, temperature=0, max_tokens=6).text


def test_a_damaged_or_foreign_state_is_refused(llm: LLM, tmp_path: Path) -> None:
    state = llm.save_state(PROMPT)
    with pytest.raises(InvalidRequest, match="damaged"):
        llm.load_state(state[:-1])
    other = tiny.llama_like(tmp_path / "qwen2.gguf", "qwen2", bias=True)
    with LLM(other, n_ctx=64) as foreign, pytest.raises(InvalidRequest, match="another model"):
        foreign.load_state(state)


def test_embed(tmp_path: Path) -> None:
    with LLM(tiny.bert_like(tmp_path / "bert.gguf"), n_threads=2) as llm:
        one, two = llm.embed(["hello world", "the cat"])
        assert np.allclose(one, llm.embed("hello world"), atol=1e-4)
        assert np.isclose(np.linalg.norm(two), 1.0, atol=1e-5)
        assert not np.isclose(np.linalg.norm(llm.embed("the cat", normalize=False)), 1.0)
        with pytest.raises(UnsupportedCapability):
            llm.generate("hello")


def test_there_is_no_such_file(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.gguf", str(tmp_path / "none.gguf"), tmp_path):
        with pytest.raises(ModelNotFound):
            LLM(missing)


def test_closing_ends_what_runs_and_is_final(path: Path) -> None:
    llm = LLM(path, n_ctx=256, n_threads=2)
    stream = llm.generate(PROMPT, max_tokens=-1, stream=True, shift=True)
    next(stream)
    llm.close()
    llm.close()
    with pytest.raises(EngineClosed):
        llm.generate(PROMPT)


def test_a_model_that_is_dropped_closes_itself(path: Path) -> None:
    before = threading.active_count()
    llm = LLM(path, n_ctx=256, n_threads=2)
    llm.generate(PROMPT, max_tokens=2)
    del llm
    gc.collect()
    deadline = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_program_ends_without_closing(path: Path) -> None:
    program = f"""
from pyollama import LLM
llm = LLM({str(path)!r}, n_ctx=256, n_threads=2)
stream = llm.generate("the", max_tokens=-1, stream=True, shift=True)
print(type(next(stream)).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "str\n", "")


async def test_a_hundred_tasks_leave_the_event_loop_alone(
    llm: LLM, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """No callback takes long. Processor time is judged: a busy machine makes any callback late."""
    in_loop = threading.get_ident()
    vocabulary = type(llm._vocabulary)
    original = vocabulary.tokenize
    tokenizing: set[int] = set()
    costs: list[float] = []

    def watched(
        self: Vocabulary, text: str, *, add_special: bool, parse_special: bool
    ) -> list[int]:
        tokenizing.add(threading.get_ident())
        return original(self, text, add_special=add_special, parse_special=parse_special)

    def timed(handle: asyncio.Handle) -> None:
        before = time.thread_time()
        run(handle)
        if threading.get_ident() == in_loop:
            costs.append(time.thread_time() - before)

    run = asyncio.Handle._run
    monkeypatch.setattr(vocabulary, "tokenize", watched)
    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    chats = [llm.achat([Message("user", f"hello {n}")], max_tokens=8) for n in range(50)]
    texts = [llm.agenerate(f"{PROMPT} {n}", max_tokens=8) for n in range(50)]
    said, completed = await asyncio.gather(asyncio.gather(*chats), asyncio.gather(*texts))
    assert all(answer.usage.completion_tokens for answer in said)
    assert all(answer.usage.completion_tokens for answer in completed)
    assert tokenizing and in_loop not in tokenizing
    record_property("longest_callback_ms", max(costs) * 1000)
    assert max(costs) < 0.025


def test_public_names_are_there_and_cost_nothing_before_they_are_used() -> None:
    assert all(hasattr(pyollama, name) for name in pyollama.__all__)
    assert set(pyollama.__all__) <= set(dir(pyollama))
    with pytest.raises(AttributeError):
        _ = pyollama.nonsense
    program = "import sys, pyollama; print(*sorted(m for m in sys.modules if 'pyollama.' in m))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b""
