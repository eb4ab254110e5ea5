"""Which format a model gets, and what the formats make of a turn."""

from __future__ import annotations

import json

import pytest

from pyollama.chat.autodetect import detect
from pyollama.chat.capabilities import capabilities
from pyollama.chat.facts import ModelFacts
from pyollama.chat.families import FAMILIES
from pyollama.chat.format import UntemplatedFormat, from_template, select, shown_template
from pyollama.chat.gotemplates import GoTemplate
from pyollama.chat.grammar import format_grammar
from pyollama.chat.interface import ChatFormat, Turn
from pyollama.chat.jinja import JinjaFormat, RenderedJinja
from pyollama.chat.media import place_media
from pyollama.chat.rendered import RenderedFormat
from pyollama.errors import InvalidRequest, TemplateError
from pyollama.types import Delta, Grammar, Message, Tool

_PLAIN = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant: "
_THINK = (
    "{{ range .Messages }}{{ .Role }}: {{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
    "{{ .Content }}\n{{ end }}assistant: {{ if .Think }}{{ .ThinkLevel }} {{ end }}"
)
_TOOLS = (
    "{{ range .Tools }}{{ . }}{{ end }}{{ range .Messages }}{{ .Role }}: {{ .Content }}"
    '{{ if .ToolCalls }}<call>{{ .ToolCalls }}{{ end }}{{ if eq .Role "tool" }}{{ end }}'
    "{{ end }}assistant: "
)
_JINJA_PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"
_JINJA_TOOLS = _JINJA_PLAIN + "{{ tools }}{{ tool_calls }}{{ m.role == 'tool' }}"
_JINJA_THINK = _JINJA_PLAIN + "<think></think>"
_USER = (Message("user", "q"),)


class _NoTemplate:
    def __init__(self, source: str | None) -> None:
        self.source = source

    def apply(self, request: str) -> RenderedJinja:
        raise NotImplementedError


def _select(facts: ModelFacts, prefer_go: bool | None = None) -> ChatFormat:
    return select(facts, _NoTemplate, prefer_go=prefer_go)


@pytest.mark.parametrize(
    ("facts", "prefer_go", "native"),
    [
        (ModelFacts(template=_PLAIN), None, False),
        (ModelFacts(jinja=_JINJA_PLAIN), None, True),
        (ModelFacts(template=_PLAIN, jinja=_JINJA_PLAIN), None, False),
        (ModelFacts(template=_PLAIN, jinja=_JINJA_TOOLS), None, True),
        (ModelFacts(template=_PLAIN, jinja=_JINJA_TOOLS), True, False),
        (ModelFacts(template=_TOOLS, jinja=_JINJA_TOOLS), None, False),
        (ModelFacts(template=_TOOLS, jinja=_JINJA_TOOLS), False, True),
        (ModelFacts(template="{{ .Tools }}{{ .Messages }}", jinja=_JINJA_TOOLS), None, True),
        (ModelFacts(template=_TOOLS, jinja=_JINJA_THINK), None, False),
        (ModelFacts(template=_THINK, jinja=_JINJA_THINK), None, False),
        (ModelFacts(template=_PLAIN, jinja=_JINJA_THINK), None, True),
        (ModelFacts(template=_PLAIN, jinja=_JINJA_TOOLS, parser="nobody"), None, False),
        (ModelFacts(jinja=_JINJA_TOOLS, renderer="qwen3-coder"), None, False),
        (ModelFacts(), None, True),
    ],
)
def test_choice(facts: ModelFacts, prefer_go: bool | None, native: bool) -> None:
    chosen = _select(facts, prefer_go)
    assert chosen.native is native
    shown = shown_template(facts, prefer_go=prefer_go)
    if not native:
        assert shown == (facts.template or "{{ .Prompt }}")
    elif facts.jinja:
        assert isinstance(chosen, JinjaFormat)
        assert shown == facts.jinja


def test_a_model_without_templates() -> None:
    chosen = _select(ModelFacts())
    assert isinstance(chosen, UntemplatedFormat)
    turn = Turn((Message("system", "s"), *_USER))
    assert chosen.complete(turn).text == "q"
    assert shown_template(ModelFacts()) == "{{ .Prompt }}"


def test_unknown_renderer() -> None:
    with pytest.raises(TemplateError, match='unknown renderer "no-such"'):
        _select(ModelFacts(renderer="no-such"))


def test_family_with_a_parser_of_its_own() -> None:
    facts = ModelFacts(
        family="gptoss", template="<|start|>{{ .Prompt }}<|end|>", jinja=_JINJA_TOOLS
    )
    chosen = _select(facts)
    assert not chosen.native
    prompt = chosen.chat(Turn(_USER, think=True))
    assert prompt.stops == ("<|call|>",)
    assert "<|channel|>" in prompt.preserved
    assert prompt.parser.feed("<|channel|>analysis<|message|>hm") == Delta(thinking="hm")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (ModelFacts(template=_PLAIN), ("completion",)),
        (ModelFacts(template=_THINK), ("completion", "thinking")),
        (ModelFacts(template=_TOOLS), ("completion", "tools")),
        (ModelFacts(template=_TOOLS, jinja=_JINJA_THINK), ("completion", "tools")),
        (ModelFacts(jinja=_JINJA_TOOLS + _JINJA_THINK), ("tools", "thinking", "completion")),
        (ModelFacts(template="{{ .Prompt }}{{ .Suffix }}"), ("completion", "insert")),
        (ModelFacts(), ("completion",)),
        (ModelFacts(template="{{ broken"), ("completion",)),
        (ModelFacts(parser="harmony", template=_PLAIN), ("completion", "tools", "thinking")),
        (ModelFacts(renderer="qwen3-coder", parser="qwen3-coder"), ("completion", "tools")),
        (ModelFacts(renderer="x", parser="y"), ("completion",)),
        (ModelFacts(capabilities=("tools",), template=_TOOLS), ("tools", "completion")),
        (ModelFacts(renderer="qwen3.5", parser="qwen3.5"), ("completion", "tools", "thinking")),
        (ModelFacts(renderer="glm-ocr", parser="glm-ocr"), ("completion", "tools")),
        (ModelFacts(parser="olmo3-think", template=_PLAIN), ("completion", "thinking")),
        (ModelFacts(parser="from tomorrow", template=_THINK), ("completion", "thinking")),
        (ModelFacts(family="gptoss"), ("completion", "thinking")),
        (
            ModelFacts(metadata={"general.architecture": "bert", "bert.pooling_type": 1}),
            ("embedding",),
        ),
        (
            ModelFacts(
                metadata={
                    "general.architecture": "m",
                    "m.vision.block_count": 2,
                    "m.audio.block_count": 2,
                }
            ),
            ("completion", "vision", "audio"),
        ),
        (
            ModelFacts(projectors=({"clip.has_audio_encoder": True},)),
            ("completion", "vision", "audio"),
        ),
    ],
)
def test_capabilities(facts: ModelFacts, expected: tuple[str, ...]) -> None:
    assert capabilities(facts) == expected


def test_capabilities_without_a_look_into_jinja() -> None:
    assert capabilities(ModelFacts(jinja=_JINJA_TOOLS), look_into_jinja=False) == ("completion",)


# --- formats made here --------------------------------------------------------------------------


def test_thinking_is_read_only_when_it_is_on() -> None:
    chosen = _select(ModelFacts(template=_THINK))
    prompt = chosen.chat(Turn(_USER, think=True))
    assert prompt.text == "user: q\nassistant: medium "
    assert prompt.preserved == ("<think>", "</think>")
    assert prompt.parser.feed("<think>a</think>b") == Delta(content="b", thinking="a")
    off = chosen.chat(Turn(_USER, think=False))
    assert off.parser.feed("<think>a") == Delta(content="<think>a")
    assert off.preserved == ()


def test_a_prompt_may_open_the_thinking() -> None:
    template = "{{ range .Messages }}<t>{{ .Thinking }}</t>{{ end }}<t>\n"
    prompt = from_template(template).chat(Turn(_USER, think=True))
    assert prompt.parser.feed("a</t>b") == Delta(content="b", thinking="a")


def test_tool_calls_are_read_only_when_there_are_tools() -> None:
    chosen = _select(ModelFacts(template=_TOOLS))
    call = '<call>{"name": "f", "arguments": {}}'
    prompt = chosen.chat(Turn(_USER, (Tool("f"),)))
    assert prompt.preserved == ("<call>",)
    assert [c.name for c in prompt.parser.feed(call).tool_calls] == ["f"]
    assert chosen.chat(Turn(_USER)).parser.feed(call).content == call
    assert chosen.complete(Turn(_USER, (Tool("f"),))).parser.feed(call).content == call


def test_thinking_then_a_call() -> None:
    template = _THINK + "{{ range .Tools }}{{ . }}{{ end }}{{ if .ToolCalls }}<call>{{ end }}"
    prompt = from_template(template).chat(Turn(_USER, (Tool("f"),), think=True))
    assert prompt.preserved == ("<think>", "</think>", "<call>")
    delta = prompt.parser.feed('<think>a</think>b<call>{"name": "f", "arguments": {}}')
    assert (delta.thinking, delta.content, len(delta.tool_calls)) == ("a", "b", 1)
    assert prompt.parser.flush() == Delta()


def test_format_waits_for_the_end_of_thinking() -> None:
    chosen = _select(ModelFacts(template=_THINK))
    turn = Turn(_USER, think=True, format="json")
    first = chosen.chat(turn)
    assert first.constrain_later
    assert first.grammar is None
    second = chosen.after_thinking(turn, first, "hm")
    assert second.text == "user: q\nassistant: <think>hm</think>\nassistant: medium "
    assert second.grammar == Grammar(kind="json")
    assert not second.constrain_later
    assert second.parser.feed("<think>") == Delta(content="<think>")
    off = chosen.chat(Turn(_USER, think=False, format="json"))
    assert off.grammar == Grammar(kind="json")
    assert not off.constrain_later


def test_format_after_harmony_thinking() -> None:
    chosen = _select(ModelFacts(template=_PLAIN, parser="harmony"))
    turn = Turn(_USER, think=True, format={"type": "object"})
    first = chosen.chat(turn)
    first.parser.feed("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final")
    first.parser.feed("<|message|>{")
    second = chosen.after_thinking(turn, first, "hm")
    assert second.text.endswith("<|channel|>final<|message|>")
    assert second.parser is first.parser
    assert second.parser.feed("{}") == Delta(content="{}")
    assert second.grammar == Grammar('{"type": "object"}', "json_schema")


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("qwen3.5", "assistant\n<think>\nhm\n</think>\n\n"),
        ("deepseek3", "assistant: <think>hm</think>"),
        ("gemma4", "<|turn>model\n<|channel>thought\nhm\n<channel|>"),
        ("cohere", "<|START_THINKING|>hm<|END_THINKING|><|START_TEXT|>"),
        ("glimmer", "assistant to=self<|message|>hm<|eom|><|start|>assistant to=user<|message|>"),
    ],
)
def test_format_after_the_thinking_of_families(name: str, ending: str) -> None:
    renderer = "" if name == "deepseek3" else name
    chosen = _select(ModelFacts(template=_PLAIN, renderer=renderer, parser=name))
    turn = Turn(_USER, think=True, format="json")
    first = chosen.chat(turn)
    assert first.constrain_later
    second = chosen.after_thinking(turn, first, " hm\n")
    assert second.text.endswith(ending)
    assert second.grammar == Grammar(kind="json")
    assert second.parser.feed('{"a":') == Delta(content='{"a":')


def test_format_where_nothing_was_thought() -> None:
    chosen = _select(ModelFacts(template=_PLAIN, renderer="gemma4", parser="gemma4"))
    turn = Turn(_USER, think=True, format="json")
    first = chosen.chat(turn)
    assert chosen.after_thinking(turn, first, "").text == first.text
    always = _select(ModelFacts(renderer="olmo3-think", parser="olmo3-think"))
    turn = Turn(_USER, think=False, format="json")
    first = always.chat(turn)
    assert first.constrain_later
    assert always.after_thinking(turn, first, "").text == f"{first.text}\n</think>\n\n"


def test_insert_and_raw() -> None:
    chosen = _select(ModelFacts(template="<{{ .Prompt }}|{{ .Suffix }}>"))
    turn = Turn((), format={})
    for prompt in (chosen.insert("a", "b", turn), chosen.raw("<a|b>", turn)):
        assert prompt.text == "<a|b>"
        assert prompt.grammar == Grammar("{}", "json_schema")
        assert not prompt.constrain_later
    raw = _select(ModelFacts(template=_THINK)).raw("text", Turn((), think=True))
    assert raw.parser.feed("<think>a</think>b") == Delta(content="b", thinking="a")


def test_named_parsers_do_not_read_raw_answers() -> None:
    chosen = _select(ModelFacts(template=_PLAIN, parser="harmony"))
    assert chosen.raw("x", Turn((), think=True)).parser.feed("<|channel|>") == Delta(
        content="<|channel|>"
    )


@pytest.mark.parametrize(
    ("facts", "forgets"),
    [
        (ModelFacts(template=_PLAIN, family="qwen3"), True),
        (ModelFacts(template=_PLAIN, name="deepseek-r1"), True),
        (ModelFacts(template=_PLAIN, family="x"), False),
    ],
)
def test_old_thinking_is_cut_out_of_answers(facts: ModelFacts, forgets: bool) -> None:
    answer = Message("assistant", "<think>\nhm</think>\n\nyes")
    turn = Turn((*_USER, answer, *_USER, answer))
    old = "yes" if forgets else answer.content
    assert _select(facts).chat(turn).text == (
        f"user: q\nassistant: {old}\nuser: q\nassistant: {answer.content}\nassistant: "
    )


def test_renderer() -> None:
    chosen = _select(ModelFacts(renderer="qwen3-coder", parser="qwen3-coder"))
    assert isinstance(chosen, RenderedFormat)
    prompt = chosen.chat(Turn((Message("user", "q", images=(b"1",)),)))
    assert prompt.text == "<|im_start|>user\n[img-0] q<|im_end|>\n<|im_start|>assistant\n"
    assert prompt.images == (b"1",)


# --- small parts --------------------------------------------------------------------------------


def test_media() -> None:
    messages = [
        Message("user", "a [img] b", images=(b"1", b"2")),
        Message("user", "c", images=(b"3",)),
        Message("user", " d", images=(b"4",)),
    ]
    placed, files = place_media(messages)
    assert [m.content for m in placed] == ["[img-1]a [img-0] b", "[img-2]c", "[img-3] d"]
    assert files == (b"1", b"2", b"3", b"4")
    assert [m.content for m in place_media(messages, " ")[0]] == [
        "[img-1] a [img-0] b",
        "[img-2] c",
        "[img-3] d",
    ]


@pytest.mark.parametrize(
    ("wanted", "shown"), [("xml", '"\\"xml\\""'), (5, '"5"'), ([], '"[]"'), (True, '"true"')]
)
def test_formats_that_are_none(wanted: str, shown: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        format_grammar(wanted)
    assert caught.value.message == (
        f'invalid format: {shown}; expected "json" or a valid JSON Schema object'
    )
    assert caught.value.details == {"field": "format"}


def test_formats() -> None:
    assert format_grammar(None) is None
    assert format_grammar("") is None
    assert format_grammar({}) == Grammar("{}", "json_schema")


_CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def test_detection() -> None:
    family = detect(_CHATML)
    assert family is not None
    assert family.name == "chatml"
    assert family.stops == ("<|im_start|>", "<|im_end|>")
    assert family.template == (
        "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "jinja",
    [
        _CHATML + "{{ tools }}",
        _CHATML.replace("'<|im_start|>assistant", "'You are a helpful assistant.<|im_start|>"),
        _CHATML + "x" * 5000,
        "{{ messages }}",
        "",
    ],
)
def test_what_can_do_more_is_left_to_llama_cpp(jinja: str) -> None:
    assert detect(jinja) is None


def test_a_complaint_is_no_prose() -> None:
    complaint = "{{ raise_exception('Conversation roles must alternate user and assistant') }}"
    assert detect(complaint + _CHATML) is not None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_families(family: object) -> None:
    assert family in FAMILIES
    template = next(f for f in FAMILIES if f is family).template
    turns = [("system", "S1"), ("user", "U1"), ("assistant", "A1"), ("user", "U2")]
    text = GoTemplate.parse(template).render([Message(*turn) for turn in turns], (), None)
    places = [text.index(content) for _, content in turns]
    assert places == sorted(places)
    assert "<no value>" not in text
    assert json.dumps(text)
