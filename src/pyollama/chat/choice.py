"""Which of a model's templates writes its prompts."""

from __future__ import annotations

import re
from enum import Enum

from pyollama.chat.facts import ModelFacts
from pyollama.chat.gotemplates import GoTemplate
from pyollama.errors import TemplateError

_ROLE_IS_TOOL = re.compile(r"""role['"\]]*\s*==\s*['"]tool['"]|['"]tool['"]\s*==""")
_SPLITS_THINKING = re.compile(r"""split\(\s*['"]</think>['"]""")


class Renderer(Enum):
    """Who turns messages into a prompt."""

    RENDERER = "a named renderer"
    GO = "the Go template"
    JINJA = "llama.cpp, from the Jinja template"
    NOTHING = "there is no template"


def choose(
    facts: ModelFacts, template: GoTemplate | None, prefer_go: bool | None = None
) -> Renderer:
    """``prefer_go`` decides where a model has both templates; ``None`` takes the abler one."""
    if facts.renderer or facts.parser:
        return Renderer.RENDERER if facts.renderer else Renderer.GO
    if template is None:
        return Renderer.JINJA if facts.jinja else Renderer.NOTHING
    if _is_harmony(facts, template) or not facts.jinja:
        return Renderer.GO
    if prefer_go is None:
        prefer_go = not _jinja_is_abler(facts.jinja, template)
    return Renderer.GO if prefer_go else Renderer.JINJA


def parser_name(facts: ModelFacts, template: GoTemplate | None) -> str:
    """The parser the model names, or the one its family has."""
    if not facts.parser and template is not None and _is_harmony(facts, template):
        return "harmony"
    return facts.parser


def _is_harmony(facts: ModelFacts, template: GoTemplate) -> bool:
    return facts.is_gptoss and "<|start|>" in template.text and "<|end|>" in template.text


def parse_template(facts: ModelFacts) -> GoTemplate | None:
    """The Go template of a model; raises ``TemplateError``."""
    return None if facts.template is None else GoTemplate.parse(facts.template)


def readable_template(facts: ModelFacts) -> GoTemplate | None:
    """The same, but a template that cannot be read is none."""
    try:
        return parse_template(facts)
    except TemplateError:
        return None


# --- what templates can do ----------------------------------------------------------------------


def jinja_features(jinja: str) -> frozenset[str]:
    features = set()
    if "tools" in jinja or "tool_call" in jinja:
        features.add("tools")
    if _jinja_thinks(jinja):
        features.add("thinking")
    return frozenset(features)


def _jinja_thinks(jinja: str) -> bool:
    if "<think>" in jinja and "</think>" in jinja:
        return True
    splits = _SPLITS_THINKING.search(jinja) is not None
    return splits and "reasoning_content" not in jinja and "<SPECIAL_12>" not in jinja


def _jinja_round_trip(jinja: str) -> bool:
    """Whether both calls and their results are written."""
    if "tool_calls" not in jinja and "assistant_tool_call" not in jinja:
        return False
    marks = ("tool_response", "tool_results", "ipython")
    return any(mark in jinja for mark in marks) or _ROLE_IS_TOOL.search(jinja) is not None


def go_features(template: GoTemplate) -> frozenset[str]:
    features = {"tools"} if "Tools" in template.fields else set()
    if template.thinking_tags is not None:
        features.add("thinking")
    if "Suffix" in template.fields:
        features.add("insert")
    return frozenset(features)


def _go_round_trip(template: GoTemplate) -> bool:
    marks = ('eq .Role "tool"', "tool_response", "TOOL_RESULTS")
    uses_calls = {"Tools", "ToolCalls"} <= template.fields
    return uses_calls and any(mark in template.text for mark in marks)


def _jinja_is_abler(jinja: str, template: GoTemplate) -> bool:
    jinja_can, go_can = jinja_features(jinja), go_features(template)
    jinja_trips, go_trips = _jinja_round_trip(jinja), _go_round_trip(template)
    if go_trips and not jinja_trips:
        return False
    if jinja_can == go_can:
        return "tools" in jinja_can and jinja_trips and not go_trips
    return not jinja_can <= go_can
