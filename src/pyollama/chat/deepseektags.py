"""The special tokens of DeepSeek's models, which Cogito uses too."""

from __future__ import annotations


def _tag(words: str) -> str:
    """Between bars of full width, with a low block in place of blanks."""
    return "<\uff5c" + words.replace(" ", "\u2581") + "\uff5c>"


BOS = _tag("begin of sentence")
END = _tag("end of sentence")
USER = _tag("User")
ASSISTANT = _tag("Assistant")
CALLS, CALLS_END = _tag("tool calls begin"), _tag("tool calls end")
CALL, CALL_END = _tag("tool call begin"), _tag("tool call end")
OUTPUTS, OUTPUTS_END = _tag("tool outputs begin"), _tag("tool outputs end")
OUTPUT, OUTPUT_END = _tag("tool output begin"), _tag("tool output end")
SEPARATOR = _tag("tool sep")
