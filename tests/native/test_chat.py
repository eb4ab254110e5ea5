"""Chat templates and grammars: every template of the vendored tree, requests, answers, mistakes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama import errors
from pyollama._native import (
    ChatTemplate,
    Model,
    RenderedChat,
    Sampler,
    check_grammar,
    json_schema_to_grammar,
)

USER = {"role": "user", "content": "What is the weather in Berlin?"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def render(template: ChatTemplate, **request: Any) -> RenderedChat:
    return template.apply(json.dumps({"messages": [USER]} | request))


@pytest.fixture(scope="module")
def qwen(vocab_folder: Path) -> Iterator[Model]:
    with Model(vocab_folder / "ggml-vocab-qwen2.gguf", vocab_only=True) as model:
        yield model


@pytest.fixture(scope="module")
def templates(vocab_folder: Path) -> dict[str, str]:
    return {
        path.stem: path.read_text("utf-8")
        for path in sorted((vocab_folder / "templates").glob("*.jinja"))
    }


def test_the_models_own_template(model: Model) -> None:
    template = ChatTemplate(model)
    assert template.source == model.chat_template()
    chat = render(template)
    assert chat.prompt == (
        "<|im_start|>user\nWhat is the weather in Berlin?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (chat.grammar, chat.stops, chat.preserved_tokens) == ("", [], [])
    assert not render(template, add_generation_prompt=False).prompt.endswith("assistant\n")


def test_a_model_without_a_template_gets_chatml(folder: Path) -> None:
    with Model(folder / "bert.gguf", vocab_only=True) as model:
        template = ChatTemplate(model)
        assert "<|im_start|>" in template.source


def test_variables_reach_the_template(model: Model) -> None:
    template = ChatTemplate(model, "{{ colour }} {{ enable_thinking }} {{ tools | length }}")
    chat = render(template, kwargs={"colour": "blue"}, enable_thinking=False, tools=[WEATHER])
    assert chat.prompt.lower() == "blue false 1"


def test_a_template_outlives_its_closed_model(folder: Path) -> None:
    model = Model(folder / "llama.gguf", vocab_only=True)
    template = ChatTemplate(model)
    model.close()
    chat = render(template)
    template.close()
    assert json.loads(chat.parse("hello", partial=False)) == {
        "content": "hello",
        "reasoning_content": "",
        "tool_calls": [],
    }
    with pytest.raises(errors.NativeError, match="closed"):
        render(template)


def test_every_template_renders_with_and_without_tools(
    qwen: Model, templates: dict[str, str]
) -> None:
    assert len(templates) > 30
    constrained = 0
    for name, source in templates.items():
        template = ChatTemplate(qwen, source)
        assert USER["content"] in render(template).prompt, name
        chat = render(template, tools=[WEATHER], tool_choice="required")
        if chat.grammar:
            constrained += 1
            Sampler(qwen, grammar=chat.grammar, grammar_prefill=chat.grammar_prefill)
        if template.capabilities["supports_tools"]:
            assert "get_weather" in chat.prompt, name
    assert constrained > len(templates) / 2


TOOL_ANSWERS = {
    "Qwen-Qwen3-0.6B": (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n</tool_call>'
    ),
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n</tool_call>'
    ),
    "meta-llama-Llama-3.1-8B-Instruct": (
        '{"name": "get_weather", "parameters": {"city": "Berlin"}}'
    ),
}


@pytest.mark.parametrize("name", TOOL_ANSWERS)
def test_tool_calls_are_read_and_every_part_of_them_too(
    qwen: Model, templates: dict[str, str], name: str
) -> None:
    chat = render(ChatTemplate(qwen, templates[name]), tools=[WEATHER])
    answer = TOOL_ANSWERS[name]
    message = json.loads(chat.parse(answer, partial=False))
    assert [call["name"] for call in message["tool_calls"]] == ["get_weather"]
    assert json.loads(message["tool_calls"][0]["arguments"]) == {"city": "Berlin"}
    for end in range(len(answer)):
        json.loads(chat.parse(answer[:end], partial=True))


def test_thinking_is_told_from_content(qwen: Model, templates: dict[str, str]) -> None:
    template = ChatTemplate(qwen, templates["Qwen-Qwen3-0.6B"])
    chat = render(template)
    assert (chat.thinking_start, chat.thinking_ends) == ("<think>", ["</think>"])
    message = json.loads(chat.parse("<think>\nhm\n</think>\n\nhello", partial=False))
    assert message["reasoning_content"].strip() == "hm"
    assert message["content"].strip() == "hello"
    part = json.loads(chat.parse("<think>\nhm", partial=True))
    assert part["reasoning_content"].strip() == "hm"
    raw = render(template, reasoning_format="none")
    assert (
        "<think>" in json.loads(raw.parse("<think>\nhm\n</think>hello", partial=False))["content"]
    )


def test_a_schema_becomes_a_grammar(qwen: Model, templates: dict[str, str]) -> None:
    template = ChatTemplate(qwen, templates["Qwen-Qwen3-0.6B"])
    chat = render(template, json_schema={"type": "object", "properties": {"a": {"const": 1}}})
    check_grammar(chat.grammar)
    own = render(template, grammar='root ::= "x"')
    assert (own.grammar, own.grammar_prefill) == ('root ::= "x"', "")


def test_an_answer_can_be_continued(model: Model) -> None:
    messages = [USER, {"role": "assistant", "content": "It is sun"}]
    chat = render(ChatTemplate(model), messages=messages, continue_final_message=True)
    assert chat.prompt.endswith("It is sun")


@pytest.mark.parametrize(
    ("request_text", "message"),
    [
        ("", "chat request"),
        ("[]", "chat request|messages"),
        ("{}", "messages"),
        ('{"messages": []}', "messages must not be empty"),
        ('{"messages": [{"content": "x"}]}', "role"),
        ('{"messages": [{"role": "user", "content": 5}]}', "content"),
        ('{"messages": "hi"}', "array"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_wrong_requests_are_named(model: Model, request_text: str, message: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=message):
        ChatTemplate(model).apply(request_text)


@pytest.mark.parametrize(
    "request_fields",
    [
        {"tools": [{"type": "x"}]},
        {"tool_choice": "maybe"},
        {"reasoning_format": "loud"},
        {"grammar": 'root ::= "a"', "json_schema": {}},
        {"grammar": 'root ::= "a"', "tools": [WEATHER]},
        {"continue_final_message": True},
        {"continue_final_message": True, "add_generation_prompt": True},
    ],
)
def test_fields_that_do_not_go_together(model: Model, request_fields: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest):
        render(ChatTemplate(model), **request_fields)


@pytest.mark.parametrize(
    "source", ["{% if %}", "{{ x", "{% for a in %}{% endfor %}", "{% endif %}"]
)
def test_broken_templates_are_named(model: Model, source: str) -> None:
    with pytest.raises(errors.TemplateError, match=r"chat template: ."):
        render(ChatTemplate(model, source))


def test_a_template_that_raises_says_what(model: Model) -> None:
    with pytest.raises(errors.TemplateError, match="no cats"):
        render(ChatTemplate(model, "{{ raise_exception('no cats') }}"))


@given(source=st.text(alphabet="{}%#-' abif()|.[]0", max_size=60))
def test_any_template_text_is_read_or_refused(model: Model, source: str) -> None:
    with contextlib.suppress(errors.TemplateError):
        render(ChatTemplate(model, source))


@given(text=st.text(max_size=80), partial=st.booleans())
def test_any_answer_is_read_or_refused(qwen: Model, text: str, partial: bool) -> None:
    chat = render(ChatTemplate(qwen), tools=[WEATHER])
    with contextlib.suppress(errors.NativeError):
        json.loads(chat.parse(text, partial=partial))


# --- grammars


@pytest.mark.parametrize(
    "grammar",
    [
        'root ::= "a"',
        "root ::= a b?\na ::= [^x-z\\n]+ # a comment\nb ::= (\n  \"1\" |\n \"2\"){2,5} .",
        'root ::= "\\x41\\u00e9\\U0001F600\\"" [\\[\\]-]*',
        "root ::= <[5]> !<think> | x{0,}\nx ::= \"y\"{3}",
    ],
)  # fmt: skip
def test_grammars_that_are_sound(model: Model, grammar: str) -> None:
    check_grammar(grammar)
    Sampler(model, grammar=grammar)


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("root", "line 1, column 5: '::=' is expected"),
        ('root ::= "a', "the closing \" is missing"),
        ("root ::= [a", "the closing ] is missing"),
        ('root ::= ("a"', r"'\)' is expected"),
        ('root ::= "a")', r"'\)' is not expected here"),
        ("root ::= *", "has nothing to repeat"),
        ("root ::= x", "line 1, column 10: rule 'x' is used but not defined"),
        ('x ::= "a"', "no rule 'root'"),
        ('root ::= "\\q"', "unknown escape"),
        ('root ::= "\\x4"', "hexadecimal"),
        ('root ::= "a"{9999}', "more than 2000 repetitions"),
        ('root ::= "a"{5,2}', "upper limit is below"),
        ('root ::= "a"{x}', "a number is expected"),
        ('a ::= "x"\nroot ::= $', "line 2, column 10"),
        ("root ::= <[x]>", "token id"),
        ("root ::= " + "(" * 300 + '"a"' + ")" * 300, "nested too deeply"),
        ('root ::= "a\0b"', "NUL"),
    ],
)  # fmt: skip
def test_broken_grammars_are_named(model: Model, grammar: str, message: str) -> None:
    with pytest.raises(errors.InvalidGrammar, match=message):
        check_grammar(grammar)
    with pytest.raises(errors.InvalidGrammar, match=message):
        Sampler(model, grammar=grammar)


def test_a_token_the_model_does_not_have_is_named(model: Model) -> None:
    for name in ("<>", "<|no-such-token|>"):
        grammar = f'root ::= "a" {name}'
        check_grammar(grammar)
        with pytest.raises(errors.InvalidGrammar, match="is no token of the model"):
            Sampler(model, grammar=grammar)
    Sampler(model, grammar='root ::= "a" <think>')


def test_left_recursion_is_refused(model: Model) -> None:
    with pytest.raises(errors.InvalidGrammar, match="left recursion"):
        Sampler(model, grammar='root ::= root "a"')


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet='root::=abx "[]()|*+?{}1,2\n\\-.<>!^#', max_size=60))
def test_what_the_check_lets_through_llama_cpp_can_use(
    model: Model, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    grammar = f"root ::= {text}"
    try:
        check_grammar(grammar)
    except errors.InvalidGrammar:
        return
    with contextlib.suppress(errors.InvalidGrammar):  # left recursion is left to llama.cpp
        Sampler(model, grammar=grammar)
    assert "error parsing grammar" not in capfd.readouterr().err


def test_schemas(model: Model) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 5},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1},
            "next": {"$ref": "#/$defs/node"},
        },
        "$defs": {"node": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "required": ["name"],
    }
    grammar = json_schema_to_grammar(json.dumps(schema))
    check_grammar(grammar)
    sampler = Sampler(model, grammar=grammar)
    sampler.accept(model.tokenize('{"name": "ab", "tags": ["a"'))
    with pytest.raises(errors.InvalidGrammar):
        sampler.accept(model.tokenize("x"))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "JSON schema"),
        ('{"type": "nothing"}', "JSON schema"),
        ('{"$ref": "#/nowhere"}', "nowhere"),
    ],
)
def test_broken_schemas_are_named(schema: str, message: str) -> None:
    with pytest.raises(errors.InvalidGrammar, match=message):
        json_schema_to_grammar(schema)


def test_a_deep_schema_is_refused() -> None:
    with pytest.raises(errors.InvalidRequest, match="nested too deeply"):
        json_schema_to_grammar('{"items":' * 5000)
