"""A template without a model renders what one with a model does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.native.test_chat import USER, WEATHER

from pyollama._native import ChatTemplate, DetachedTemplate, Model, RenderedChat, read_rendered
from pyollama.errors import NativeError, TemplateError

_FACTS = (
    *("prompt", "grammar", "grammar_lazy", "grammar_trigger_patterns", "grammar_trigger_tokens"),
    *("grammar_prefill", "preserved_tokens", "stops", "format"),
    *("thinking_start", "thinking_ends"),
)
_REQUESTS: list[dict[str, Any]] = [
    {},
    {"tools": [WEATHER]},
    {"json_schema": {"type": "object"}, "enable_thinking": False},
]


@pytest.fixture(scope="module")
def llama(vocab_folder: Path) -> Iterator[Model]:
    with Model(vocab_folder / "ggml-vocab-llama-spm.gguf", vocab_only=True) as model:
        yield model


def _text(model: Model, token: int) -> str:
    return model.piece(token, render_special=True).decode() if token >= 0 else ""


def _outcome(render: Callable[[], RenderedChat]) -> dict[str, Any]:
    try:
        chat = render()
    except TemplateError as error:
        return {"error": str(error)}
    facts = {name: getattr(chat, name) for name in _FACTS}
    return facts | {"whole": _parsed(chat, partial=False), "part": _parsed(chat, partial=True)}


def _parsed(chat: RenderedChat, *, partial: bool) -> str:
    try:
        return chat.parse("<think>no</think>It rains.", partial=partial)
    except NativeError as error:
        return str(error)


def test_every_template_renders_alike(vocab_folder: Path, llama: Model) -> None:
    assert llama.add_bos
    for path in sorted((vocab_folder / "templates").glob("*.jinja")):
        source = path.read_text("utf-8")
        detached = DetachedTemplate(
            source, bos=_text(llama, llama.bos), eos=_text(llama, llama.eos)
        )
        for request in _REQUESTS:
            text = json.dumps({"messages": [USER], **request})
            expected = _outcome(lambda: ChatTemplate(llama, source).apply(text))  # noqa: B023
            found = _outcome(lambda: read_rendered(llama, detached.render(text)))  # noqa: B023
            assert found == expected, path.name


def test_without_a_source_it_is_chatml() -> None:
    rendered = json.loads(DetachedTemplate().render(json.dumps({"messages": [USER]})))
    assert rendered["prompt"].startswith("<|im_start|>user\n")


@pytest.mark.parametrize(
    "source", ["{% for %}", "{{ raise_exception('no cats') }}", "{{ 1 + none }}"]
)
def test_mistakes_are_template_errors(source: str) -> None:
    with pytest.raises(TemplateError):
        DetachedTemplate(source).render(json.dumps({"messages": [USER]}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"reasoning":1,"prompt":5}'])
def test_only_what_was_rendered_is_read(llama: Model, text: str) -> None:
    with pytest.raises(TemplateError, match="rendered chat"):
        read_rendered(llama, text)
