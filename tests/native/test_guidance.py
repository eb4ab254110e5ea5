"""The guidance process over real vocabularies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import psutil
import pytest

from pyollama._native import Context, Model, Sampler
from pyollama.engine.guidance import guides
from pyollama.engine.guidance.guides import GrammarGuide, Guidance
from pyollama.engine.guidance.vocabulary import Pieces
from pyollama.errors import EngineClosed, EngineError, InvalidGrammar
from pyollama.types import Grammar

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 4},
        "kind": {"enum": ["cat", "dog"]},
        "ages": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 99},
            "maxItems": 2,
        },
    },
    "required": ["name", "kind", "ages"],
}
PERSON = Grammar(json.dumps(SCHEMA), "json_schema")
_PRIMES = (999983, 999979, 999961, 999959, 999953)
HOPELESS = Grammar(
    json.dumps({"allOf": [{"type": "integer", "multipleOf": p} for p in _PRIMES]}),
    "json_schema",
)
"""llguidance looks for the least common multiple, and never comes back."""

Open = Callable[[Grammar], GrammarGuide]


@pytest.fixture
def guidance(folder: Path, model: Model) -> Iterator[Guidance]:
    made = Guidance(str(folder / "llama.gguf"), model.n_vocab, threads=1)
    yield made
    made.close()


@pytest.fixture
def start(guidance: Guidance) -> Open:
    def start(grammar: Grammar) -> GrammarGuide:
        guide = guidance.open(grammar).result()
        assert isinstance(guide, GrammarGuide)
        return guide

    return start


def _allowed(guide: GrammarGuide) -> list[int]:
    guide.wait()
    assert guide.error is None
    bits: list[int] = np.flatnonzero(
        np.unpackbits(guide.mask.view(np.uint8), bitorder="little")
    ).tolist()
    return bits


@pytest.mark.parametrize("name", ["qwen2", "llama-spm", "phi-3"])
def test_vocabularies(vocab_folder: Path, name: str) -> None:
    """A text in the middle of another one is cut into tokens that say just that text."""
    with Model(vocab_folder / f"ggml-vocab-{name}.gguf", vocab_only=True) as vocabulary:
        pieces = Pieces(vocabulary)
        for text in ("{", '{"name": "', ' "age"', "\n", "größer", "日本", "  x"):
            assert b"".join(pieces.tokens[token] for token in pieces(text)) == text.encode()
        assert set(vocabulary.eog_tokens) <= set(pieces.special_token_ids)


def test_answers_fit(context: Context, model: Model, guidance: Guidance, start: Open) -> None:
    """Three sequences of a model that speaks nonsense: two follow a schema, one is free."""
    guided = [start(PERSON), start(PERSON)]
    samplers = [Sampler(model, temperature=1.5, seed=seed) for seed in range(3)]
    said: list[list[int]] = [[5], [6], [7]]
    for guide in guided:
        guide.begin()
    for position in range(200):
        running = [i for i in range(3) if i == 2 or not model.is_eog(said[i][-1])]
        if running == [2]:
            break
        guidance.flush()
        last = [said[i][-1] for i in running]
        context.decode(last, [position] * len(running), running, [True] * len(running))
        masks = np.full((len(running), (model.n_vocab + 31) // 32), 0xFFFFFFFF, np.uint32)
        for row, i in enumerate(running):
            if i < 2:
                guided[i].wait()
                assert guided[i].error is None
                masks[row] = guided[i].mask
        tokens = context.sample(range(len(running)), [samplers[i] for i in running], masks)
        for i, token in zip(running, tokens.tolist(), strict=True):
            said[i].append(token)
            if i < 2 and not model.is_eog(token):
                guided[i].accept(token)
    for i in range(2):
        answer = json.loads(model.detokenize(said[i][1:-1]))
        jsonschema.validate(answer, SCHEMA)
        assert list(answer) == ["name", "kind", "ages"]
        assert guided[i].complete
    assert len(said[2]) > len(said[0])


@pytest.mark.parametrize(
    ("grammar", "words"),
    [
        (Grammar('{"not": {}}', "json_schema"), '"not", which cannot be enforced'),
        (Grammar("{", "json_schema"), "JSON schema cannot be used"),
        (Grammar("(", "regex"), "regular expression cannot be used"),
        (Grammar("begin: /a/", "lark"), "Lark grammar cannot be used"),
    ],
)
def test_what_is_wrong_is_said(start: Open, grammar: Grammar, words: str) -> None:
    with pytest.raises(InvalidGrammar, match=words):
        start(grammar)
    start(PERSON).close()


def test_a_grammar_that_takes_for_ever(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are on their way go on, new ones get a new process, the old one ends."""
    running = start(Grammar("[ab]{2}", "regex"))
    child = running._child
    monkeypatch.setattr(guides, "COMPILE_SECONDS", 0.3)
    with pytest.raises(InvalidGrammar, match=r"more than 0\.3 s"):
        start(HOPELESS)
    monkeypatch.undo()
    running.begin()
    assert len(_allowed(running)) >= 2
    other = start(PERSON)
    assert other._child is not child and child.alive
    running.close()
    assert not psutil.pid_exists(child.pid)
    started = time.process_time()
    with pytest.raises(InvalidGrammar):
        start(HOPELESS)
    assert other._child.usable and time.process_time() - started < 1  # it is not tried again


def test_a_process_that_dies(start: Open) -> None:
    running = start(PERSON)
    running.begin()
    _allowed(running)
    psutil.Process(running._child.pid).kill()
    running.accept(_allowed(running)[0])
    running.wait()
    assert isinstance(running.error, EngineError)
    again = start(PERSON)
    again.begin()
    assert _allowed(again)
    running.close()


def test_a_process_that_does_not_start(tmp_path: Path, model: Model, folder: Path) -> None:
    """That is no fault of the grammar, which may be tried again."""
    path = tmp_path / "model.gguf"
    guidance = Guidance(str(path), model.n_vocab, threads=1)
    try:
        with pytest.raises(EngineError, match="cannot be constrained"):
            guidance.open(PERSON).result()
        path.symlink_to(folder / "llama.gguf")
        guidance.open(PERSON).result().close()
    finally:
        guidance.close()


def test_the_process_ends_with_its_guidance(guidance: Guidance, start: Open) -> None:
    child = start(PERSON)._child
    guidance.close()
    assert not child.alive
    with pytest.raises(EngineClosed):
        guidance.open(PERSON)


def test_closing_while_a_grammar_is_compiled(guidance: Guidance) -> None:
    waiting = guidance.open(HOPELESS)
    threading.Timer(0.3, guidance.close).start()
    with pytest.raises(EngineClosed):
        waiting.result()


def test_rows_are_used_again(start: Open) -> None:
    for _ in range(300):
        guide = start(PERSON)
        guide.begin()
        guide.close()
    last = start(PERSON)
    last.begin()
    assert _allowed(last)
