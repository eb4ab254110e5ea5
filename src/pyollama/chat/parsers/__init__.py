"""Parsers by the names that models give in ``PARSER``. A new one is a line here."""

from __future__ import annotations

from collections.abc import Mapping

from pyollama.chat.deepseektags import CALL, CALL_END, CALLS, CALLS_END, SEPARATOR
from pyollama.chat.introspect import Tags
from pyollama.chat.parsers import (
    argpairs,
    cohere,
    deepseek,
    gemma,
    glimmer,
    harmony,
    ministral,
    qwen3_coder,
)
from pyollama.chat.parsers.base import NamedParser
from pyollama.chat.parsers.jsoncalls import read_call
from pyollama.chat.parsers.making import Calls, Thoughts, after_result, named
from pyollama.chat.parsers.passthrough import PassthroughParser
from pyollama.chat.parsers.pythonic import read_calls
from pyollama.chat.renderers import nemotron

_TOOL_CALL = ("<tool_call>", "</tool_call>")
_JSON = Calls(*_TOOL_CALL, lambda turn: read_call)
_XML = Calls(*_TOOL_CALL, lambda turn: qwen3_coder.reader(turn.tools))
_PAIRS = Calls(*_TOOL_CALL, lambda turn: argpairs.reader(turn.tools))
_PYTHON = Calls("<|tool_call_start|>", "<|tool_call_end|>", lambda turn: read_calls)
_QUOTE = '<|"|>'
_GEMMA = Calls("<|tool_call>", "<tool_call|>", lambda turn: gemma.reader(_QUOTE))
_PAIR_TAGS = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
_UNTIL_CALL = Thoughts(until=_TOOL_CALL[:1])
_ALWAYS_OPENED = Thoughts(until=_TOOL_CALL[:1], prefills=False)
_SAID = Thoughts(default=False, opened=lambda turn: False)


PARSERS: Mapping[str, NamedParser] = {
    "cogito": named(
        Calls(CALLS, CALLS_END, lambda turn: deepseek.read_fenced),
        Thoughts(default=False, prefills=False, until=(CALLS,)),
        inner=(CALL, CALL_END, SEPARATOR),
    ),
    "cohere": cohere.PARSER,
    "deepseek3": named(
        Calls(CALLS, CALLS_END, lambda turn: deepseek.read),
        Thoughts(default=False, opened=lambda turn: not after_result(turn), closing="</think>"),
        inner=(CALL, CALL_END, SEPARATOR),
    ),
    "functiongemma": named(
        Calls(
            "<start_function_call>",
            "<end_function_call>",
            lambda turn: gemma.reader("<escape>"),
        ),
        inner=("<escape>",),
    ),
    "gemma4": named(
        _GEMMA,
        Thoughts(
            Tags("<|channel>thought\n", "<channel|>"),
            default=False,
            opened=after_result,
            prefills=False,
            drops=True,
            until=("<|tool_call>",),
            closing="\n<channel|>",
        ),
        inner=("<|channel>", _QUOTE),
    ),
    "gemma4-no-thinking": named(_GEMMA, inner=(_QUOTE,)),
    "glimmer": NamedParser(
        glimmer.create,
        tools=True,
        thinking=True,
        preserved=glimmer.PRESERVED,
        around_thinking=glimmer.AROUND_THINKING,
    ),
    "glm-4.7": named(_PAIRS, _ALWAYS_OPENED, inner=_PAIR_TAGS),
    "glm-ocr": named(
        _PAIRS,
        Thoughts(always=True, opened=lambda turn: False, prefills=False),
        lists_thinking=False,
        inner=_PAIR_TAGS,
    ),
    "harmony": NamedParser(
        harmony.create,
        tools=True,
        thinking=True,
        prepare=harmony.prepare,
        preserved=harmony.PRESERVED,
        stops=harmony.STOPS,
        resume=harmony.RESUME,
    ),
    "laguna": named(_PAIRS, Thoughts(default=False, until=_TOOL_CALL[:1]), inner=_PAIR_TAGS),
    "lfm2": named(_PYTHON),
    "lfm2-thinking": named(_PYTHON, _SAID),
    "ministral": NamedParser(
        lambda turn: ministral.MinistralParser(turn.tools),
        tools=True,
        preserved=(ministral.CALL, ministral.ARGUMENTS),
    ),
    "nemotron-3-nano": named(
        _XML, Thoughts(opened=nemotron.thinks, until=_TOOL_CALL[:1], prefills=False)
    ),
    "nemotron-3.5-nano": named(_XML, _ALWAYS_OPENED),
    "olmo3": named(Calls("<function_calls>", "</function_calls>", lambda turn: read_calls)),
    "olmo3-think": named(None, Thoughts(always=True, prefills=False)),
    "ornith": named(_XML, _UNTIL_CALL),
    "passthrough": NamedParser(lambda turn: PassthroughParser()),
    "poolside-v1": named(
        _PAIRS,
        Thoughts(default=False, until=_TOOL_CALL[:1], prefills=False),
        inner=_PAIR_TAGS,
    ),
    "qwen3": named(_JSON),
    "qwen3-coder": named(_XML),
    "qwen3-thinking": named(_JSON, _UNTIL_CALL),
    "qwen3-vl-instruct": named(_JSON),
    "qwen3-vl-thinking": named(
        _JSON,
        Thoughts(always=True, opened=lambda turn: turn.think is not False, until=_TOOL_CALL[:1]),
    ),
    "qwen3.5": named(_XML, _UNTIL_CALL),
}

__all__ = ["PARSERS", "NamedParser", "PassthroughParser"]
