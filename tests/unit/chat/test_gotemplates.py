"""The three ways in which Ollama's templates are run."""

from __future__ import annotations

import pytest

from pyollama.chat.gotemplates import GoTemplate, collate
from pyollama.chat.introspect import Tags
from pyollama.errors import TemplateError
from pyollama.types import Message, Tool, ToolCall

_CHATML = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n{{ .Response }}"
)
_OLD = (
    "{{ if .System }}[S]{{ .System }}[/S]{{ end }}{{ if .Prompt }}[U]{{ .Prompt }}[/U]{{ end }}"
    "{{ .Response }}[E]"
)


def _messages(*turns: tuple[str, str]) -> list[Message]:
    return [Message(role, content) for role, content in turns]


def _render(template: str, *turns: tuple[str, str], think: bool | str | None = None) -> str:
    return GoTemplate.parse(template).render(_messages(*turns), (), think)


def test_messages() -> None:
    assert _render(_CHATML, ("system", "S"), ("user", "a"), ("assistant", "b")) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
        "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>assistant\n"
    )


def test_system_texts_are_joined_and_stay_messages() -> None:
    text = _render(
        "{{ .System }}|{{ range .Messages }}{{ .Role }} {{ end }}",
        ("system", "A"),
        ("user", "b"),
        ("system", "C"),
    )
    assert text == "A\n\nC|system user system "


def test_neighbours_are_joined_but_not_results_of_tools() -> None:
    messages = _messages(("user", "a"), ("user", "b"), ("tool", "1"), ("tool", "2"))
    assert [m.content for m in collate(messages)] == ["a\n\nb", "1", "2"]


def test_joining_loses_nothing() -> None:
    call = ToolCall("f", {})
    first = Message("assistant", "a", images=(b"1",))
    second = Message("assistant", "b", thinking="t", images=(b"2",), tool_calls=(call,))
    assert collate([first, second]) == [
        Message("assistant", "a\n\nb", "t", images=(b"1", b"2"), tool_calls=(call,))
    ]


@pytest.mark.parametrize(
    ("turns", "text"),
    [
        ([("user", "a")], "[U]a[/U]"),
        ([("system", "s"), ("user", "a")], "[S]s[/S][U]a[/U]"),
        ([("user", "a"), ("assistant", "b"), ("user", "c")], "[U]a[/U]b[E][U]c[/U]"),
        ([("user", "a"), ("assistant", "pre")], "[U]a[/U]pre"),
        (
            [
                ("system", "1"),
                *[("user", "a"), ("assistant", "b"), ("user", "c")],
                *[("system", "2"), ("user", "d")],
            ],
            "[S]1[/S][U]a[/U]b[E][U]c[/U][E][S]2[/S][U]d[/U]",
        ),
        ([("tool", "ignored"), ("user", "a")], "[U]a[/U]"),
    ],
)
def test_old_templates(turns: list[tuple[str, str]], text: str) -> None:
    assert _render(_OLD, *turns) == text


def test_old_templates_keep_their_functions_and_definitions() -> None:
    template = '{{ define "x" }}<{{ . }}>{{ end }}{{ template "x" .Prompt }}{{ json .Prompt }}'
    assert _render(template, ("user", "a<")) == '<a<>"a\\u003c"'


def test_a_place_for_the_answer_is_added() -> None:
    template = GoTemplate.parse("<{{ .Prompt }}>")
    assert template.text == "<{{ .Prompt }}>{{ .Response }}"
    assert template.render(_messages(("user", "q"), ("assistant", "a")), (), None) == "<q>a"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("A{{ .Prompt }}B{{ .Response }}C", "ApB"),
        ("{{ .Prompt }}{{ if .Response }}[{{ .Response }}]{{ else }}none{{ end }}X", "p"),
        ("{{ .Prompt }}{{ .Response | printf `%s!` }}X", "p"),
        ("{{ range .X }}{{ .Response }}{{ end }}{{ .Prompt }}", ""),
    ],
)
def test_what_follows_the_answer_is_cut(template: str, text: str) -> None:
    assert _render(template, ("user", "p")) == text


def test_insertion_knows_nothing_else() -> None:
    template = GoTemplate.parse("{{ .Prompt }}|{{ .Suffix }}|{{ .System }}|{{ .Messages }}")
    assert template.render_insert("a", "b", None) == "a|b|<no value>|<no value>"


@pytest.mark.parametrize(
    ("think", "text"),
    [
        (None, "false//false"),
        (False, "false//true"),
        (True, "true/medium/true"),
        ("high", "true/high/true"),
    ],
)
def test_think(think: bool | str | None, text: str) -> None:
    template = "{{ range .Messages }}{{ end }}{{ .Think }}/{{ .ThinkLevel }}/{{ .IsThinkSet }}"
    assert _render(template, ("user", "x"), think=think) == text


def test_fields_of_messages() -> None:
    template = GoTemplate.parse(
        "{{ range .Messages }}{{ .Role }},{{ .Thinking }},{{ .ToolName }},{{ .ToolCallID }},"
        "{{ range .ToolCalls }}{{ .ID }}:{{ .Function.Index }}:{{ .Function.Name }}:"
        "{{ .Function.Arguments }}:{{ range $k, $v := .Function.Arguments }}{{ $k }}={{ $v }} "
        "{{ end }}{{ end }};{{ end }}"
    )
    call = ToolCall("f", {"z": [1, {"b": 2, "a": "<"}], "a": 1}, id="c1", index=3)
    text = template.render(
        [Message("assistant", "x", "t", tool_calls=(call,)), Message("tool", "r", tool_name="f")],
        (),
        None,
    )
    arguments = '{"a":1,"z":[1,{"a":"\\u003c","b":2}]}'
    assert text == (f"assistant,t,,,c1:3:f:{arguments}:a=1 z=[1 map[a:< b:2]] ;tool,,f,,;")


def test_tools() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["w"],
        "properties": {
            "w": {"type": "string", "minLength": 2, "enum": ["a"], "description": ""},
            "n": {"type": ["integer", "null"]},
            "o": {"properties": {"x": {"type": "number"}}, "type": "object"},
            "u": {"anyOf": [{"type": "string"}, {"type": "array"}]},
        },
    }
    template = GoTemplate.parse(
        "{{ range .Messages }}{{ end }}{{ .Tools }}\n{{ range .Tools }}"
        "{{ .Function.Name }} {{ .Function.Parameters.Type }} {{ .Function.Parameters.Required }}\n"
        "{{ range $n, $p := .Function.Parameters.Properties }}{{ $n }}:{{ .Type }}:"
        "{{ toTypeScriptType $p }} {{ end }}{{ end }}"
    )
    json_line, head, properties = template.render(
        _messages(("user", "q")), [Tool("book", "B & b", schema)], None
    ).split("\n")
    assert json_line == (
        '[{"type":"function","function":{"name":"book","description":"B \\u0026 b",'
        '"parameters":{"type":"object","required":["w"],"properties":{'
        '"n":{"type":["integer","null"]},'
        '"o":{"type":"object","properties":{"x":{"type":"number"}}},'
        '"u":{"anyOf":[{"type":"string"},{"type":"array"}]},'
        '"w":{"type":"string","enum":["a"],"minLength":2}},'
        '"additionalProperties":false}}}]'
    )
    assert head == "book object [w]"
    assert properties == (
        "n:[integer null]:number | null o:object:Record<string, any> "
        "u:[]:string | any[] w:string:string "
    )


def test_a_tool_that_says_nothing() -> None:
    template = GoTemplate.parse("{{ range .Messages }}{{ end }}{{ json .Tools }}")
    assert template.render(_messages(("user", "q")), [Tool("f", type="")], None) == (
        '[{"type":"","function":{"name":"f","description":"",'
        '"parameters":{"type":"","properties":null}}}]'
    )
    assert template.render(_messages(("user", "q")), (), None) == "null"


@pytest.mark.parametrize(
    ("template", "tags"),
    [
        (
            (
                "{{ range .Messages }}{{ if .Thinking }}<think>\n{{ .Thinking }}\n</think>\n"
                "{{ end }}{{ .Content }}{{ end }}"
            ),
            Tags("<think>", "</think>"),
        ),
        (
            (
                "{{ range $i, $m := .Messages }}<|s|>{{ if and .Thinking (gt $i 0) }}[T]"
                "{{ .Thinking }}[/T]{{ end }}{{ end }}"
            ),
            Tags("[T]", "[/T]"),
        ),
        ("{{ range .Messages }}{{ .Thinking }}</think>{{ end }}", None),
        ("{{ range .Other }}<a>{{ .Thinking }}</a>{{ end }}{{ .Messages }}", None),
        ("{{ range .Messages }}{{ .Content }}{{ end }}", None),
    ],
)
def test_thinking_tags(template: str, tags: Tags | None) -> None:
    assert GoTemplate.parse(template).thinking_tags == tags


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        (
            '{{ if .ToolCalls }}{{ range .ToolCalls }}<call>\n{"n": {{ . }}}{{ end }}{{ end }}',
            "<call>",
        ),
        ('{{ if .ToolCalls }}[TOOL_CALLS] [{"name": 1}]{{ end }}', "[TOOL_CALLS] ["),
        (
            '{{ range .X }}{{ with .Y }}{{ if .ToolCalls }} {"a": 1}{{ end }}{{ end }}{{ end }}',
            "{",
        ),
        ("{{ if .ToolCalls }}{{ .ToolCalls }}<end>{{ end }}", "{"),
        ("{{ range .ToolCalls }}<x>{{ end }}", "{"),
        ('{{ if $.X }}{{ else if .ToolCalls }}{{ "\\n" }}<y>{{ end }}', "<y>"),
    ],
)
def test_tool_call_tag(template: str, tag: str) -> None:
    assert GoTemplate.parse(template).tool_call_tag == tag


def test_errors_are_template_errors() -> None:
    for text in ("{{ .x", "{{ nope }}", "{{ end }}"):
        with pytest.raises(TemplateError):
            GoTemplate.parse(text)
    with pytest.raises(TemplateError, match="can't evaluate field Nope"):
        _render("{{ range .Messages }}{{ .Nope }}{{ end }}", ("user", "x"))
    with pytest.raises(TemplateError, match="not a property"):
        _render("{{ .Messages }}{{ toTypeScriptType 1 }}", ("user", "x"))
