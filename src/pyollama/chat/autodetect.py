"""Recognising the simple Jinja templates that a Go template can stand in for.

A template that can do more than write turns, or that brings words of its own (a default system
text, say), is left alone: llama.cpp then runs the template itself.
"""

from __future__ import annotations

import re

from pyollama.chat.choice import jinja_features
from pyollama.chat.families import FAMILIES, Family

_LONGEST = 4000
_RAISE = re.compile(r"raise_exception\((?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^)])*\)")
_PROSE = re.compile(r"(?:[A-Za-z]+[,.]? ){4}")
_CODE = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")


def detect(jinja: str) -> Family | None:
    """The family whose turns ``jinja`` writes, if it does no more than that."""
    if len(jinja) > _LONGEST or jinja_features(jinja):
        return None
    text = _RAISE.sub("", jinja)
    if _has_prose(text):
        return None
    return next((f for f in FAMILIES if all(mark in text for mark in f.marks)), None)


def _has_prose(jinja: str) -> bool:
    literals = (single or double for single, double in _LITERAL.findall(jinja))
    plain = _CODE.sub("", re.sub(r"\{\{.*?\}\}", "", jinja, flags=re.DOTALL))
    return any(_PROSE.search(text) for text in (*literals, plain))
