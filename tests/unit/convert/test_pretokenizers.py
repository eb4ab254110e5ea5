from __future__ import annotations

from typing import Any

import pytest

from pyollama.convert.pretokenizers import known_as

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES: dict[str, Any] = {"type": "ByteLevel", "use_regex": False}


def rule(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}}


@pytest.mark.parametrize(
    ("tokenizer", "name"),
    [
        (rule(split(LLAMA3), BYTES), "llama-bpe"),
        (rule(split(LLAMA3.replace("{1,3}", "")), BYTES), "qwen2"),
        ({"model": {}, "pre_tokenizer": {"type": "ByteLevel"}}, "gpt-2"),
        ({"model": {"type": "WordPiece"}}, "bert-bge"),
        (rule(split("[0-9]+"), BYTES), None),
        (rule(split(LLAMA3), split("[0-9]+"), BYTES), None),
        (rule({"type": "Digits"}, {"type": "ByteLevel"}), None),
        ({"model": {"type": "BPE"}, "pre_tokenizer": None}, None),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [1, "x"]}}, None),
        ({"pre_tokenizer": {"type": "Split", "pattern": {"String": " "}}}, None),
        ({"model": None, "pre_tokenizer": BYTES}, None),
        ({"pre_tokenizer": {"type": "Split", "pattern": "x"}}, None),
        ([], None),
    ],
)
def test_rules(tokenizer: Any, name: str | None) -> None:
    assert known_as(tokenizer) == name
