"""The name that llama.cpp has for the way a tokenizer splits text before it merges tokens.

The converter knows the tokenizers of published models by what they make of one test text, so that
it refuses one of the same kind with another vocabulary. This looks at the rule itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_RULES = {
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}": "qwen2",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt-2",
}


def known_as(tokenizer: Any) -> str | None:
    """The name for the content of a ``tokenizer.json``, or ``None`` for a rule we do not know."""
    if _get(_get(tokenizer, "model"), "type") == "WordPiece":
        return "bert-bge"  # the name is of no account: words are split in one way only
    steps = list(_steps(_get(tokenizer, "pre_tokenizer")))
    patterns = [_get(step.get("pattern"), "Regex") for step in steps if step["type"] == "Split"]
    if len(patterns) == 1:
        return _RULES.get(patterns[0])
    is_plain = [step["type"] for step in steps] == ["ByteLevel"] and steps[0].get("use_regex", True)
    return "gpt-2" if is_plain else None


def _steps(rule: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(rule, Mapping):
        return
    if rule.get("type") == "Sequence":
        for step in rule.get("pretokenizers", ()):
            yield from _steps(step)
    else:
        yield {"type": "", **rule}


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
