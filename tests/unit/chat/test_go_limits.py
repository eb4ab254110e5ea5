"""Templates come from outside: whatever they are, a run ends soon, in text or a TemplateError."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyollama.chat.functions import FUNCTIONS
from pyollama.chat.gotemplate import Limits, Template
from pyollama.errors import TemplateError

_DATA = {"S": "text", "I": 3, "L": ["a", {"b": [1, None]}], "M": {"k": {"v": 1.5}}, "N": None}
_TOKENS = st.sampled_from(
    [
        *("{{", "}}", "{{-", "-}}", " ", "\n", "|", "(", ")", ".", ",", ":=", "=", "$", "$x", "$i"),
        *("if ", "else", "end", "range ", "with ", "define ", "template ", "block ", "break"),
        *("continue", "nil", "true", '"t"', "`r`", "'c'", "1", "-2", "1.5", "0x", "1i", "/*", "*/"),
        *(".S", ".I", ".L", ".M.k.v", ".N", "len ", "index ", "slice ", "printf ", '"%v%d"'),
        *("print ", "json ", "eq ", "and ", "or ", "not ", "lt ", "html ", "js ", "call ", "text"),
    ]
)


def _run(text: str) -> None:
    try:
        output = Template.parse(text, FUNCTIONS).execute(_DATA, Limits(20_000, 100_000))
    except TemplateError:
        return
    output.encode()


@settings(max_examples=300, deadline=None)
@given(st.lists(_TOKENS, max_size=40).map("".join))
def test_any_tokens(text: str) -> None:
    _run(text)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_action(text: str) -> None:
    _run("{{" + text + "}}")


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="%+-# 0123456789.*[]vdsqxXoObcUeEfFgGtTpw\u00e9", max_size=12),
    st.sampled_from(["1", "-7", "1.5", '"s"', "nil", ".L", ".M", "true", "1i", ".N", "0"]),
)
def test_any_format(directive: str, value: str) -> None:
    _run(f'{{{{ printf "%{directive}" {value} {value} }}}}')


@pytest.mark.parametrize(
    "text",
    [
        "{{ range 1000000000 }}x{{ end }}",
        "{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}",
        '{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}',
        '{{ $x := "0123456789" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}{{ $x }}',
        '{{ range 1000 }}{{ printf "%999999d" 1 }}{{ end }}',
        '{{ $x := printf "%999999d" 1 }}{{ range 100000 }}{{ $y := js $x }}{{ end }}',
        "{{ if 1 }}" * 200 + "{{ end }}" * 200,
        "{{ if 0 }}" + "{{ else if 1 }}" * 5000 + "{{ end }}",
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
        "x" * 2_000_000,
        "{{ 1 }}" * 100_000,
        "{{ $a := 1 }}" * 6_000 + "{{ range 100000 }}{{ $ }}{{ end }}",
        "".join(f"{{{{$v{n}:=1}}}}" for n in range(4_000)) + "{{range 100000}}{{$v0}}{{end}}",
        "{{ range 100000 }}{{ printf `" + "%d" * 1_000 + "` . }}{{ end }}",
        "{{ printf `" + "%d" * 200_000 + "` 1 }}",
    ],
)
def test_greedy_templates_end_soon(text: str) -> None:
    assert _seconds(text, 200_000) < 40 * _seconds("{{ range 100000 }}{{ . }}{{ end }}", 20_000)


def _seconds(text: str, steps: int) -> float:
    """Processor time until the template is ended; a plain one says how fast the machine is."""
    start = time.process_time()
    with pytest.raises(TemplateError):
        Template.parse(text).execute({}, Limits(steps=steps))
    return time.process_time() - start


def test_deep_data() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    for text in ("{{ . }}", "{{ json . }}", "{{ print . }}"):
        try:
            Template.parse(text, FUNCTIONS).execute(deep)
        except TemplateError:
            continue


def test_surrogates_do_not_get_out() -> None:
    output = Template.parse("{{ .a }}{{ slice .b 1 }}").execute({"a": "\ud800x", "b": "\u00e9"})
    assert output == "\ufffdx\ufffd"
