"""The text side of stored models: vocabulary, chat format, capabilities; no weights in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyollama.chat.capabilities import capabilities
from pyollama.chat.facts import ModelFacts
from pyollama.chat.format import OpenJinja, from_template, select, shown_template
from pyollama.chat.interface import ChatFormat, Prompt
from pyollama.errors import StoreError
from pyollama.service.recent import Recent
from pyollama.service.vocabulary import Vocabularies, Vocabulary
from pyollama.store.gguf import read_gguf
from pyollama.store.model import StoredModel

_Key = tuple[str, str]

_MOST_CAPABILITIES = 1024
"""Lists of words: cheap to keep, while finding them parses a template."""


@dataclass(frozen=True, slots=True)
class TextSide:
    """What is needed to talk to one stored model."""

    model: StoredModel
    vocabulary: Vocabulary
    format: ChatFormat

    def tokens(self, text: str) -> list[int]:
        """The tokens of a rendered text, markup included, without a beginning-of-text."""
        return self.vocabulary.tokenize(text, add_special=False, parse_special=True)

    def preserved(self, prompt: Prompt) -> tuple[int, ...]:
        """The special tokens that must show up in the output of ``prompt``."""
        found = set(prompt.preserved_tokens)
        for text in prompt.preserved:
            tokens = self.tokens(text)
            if len(tokens) == 1:
                found.add(tokens[0])
        return tuple(sorted(found))


class TextSides:
    """Makes text sides and keeps those used last. Safe to use from several threads.

    ``jinja_of`` opens Jinja templates over a vocabulary. ``prefer_go`` decides for models with two
    templates; ``None`` takes the abler one.
    """

    def __init__(
        self,
        vocabularies: Vocabularies,
        jinja_of: Callable[[Vocabulary], OpenJinja],
        *,
        prefer_go: bool | None = None,
        most: int = 32,
    ) -> None:
        self._vocabularies = vocabularies
        self._jinja_of = jinja_of
        self._prefer_go = prefer_go
        self._sides: Recent[_Key, TextSide] = Recent(most)
        self._capabilities: Recent[tuple[str, bool], tuple[str, ...]] = Recent(_MOST_CAPABILITIES)

    async def of(self, model: StoredModel) -> TextSide:
        # The same content under another name may be another text side: see ModelFacts.name.
        key = (model.digest, model.name.model)
        known = self._sides.known(key)
        if known is not None:
            return known
        return await asyncio.to_thread(self._sides.get, key, lambda: self._make(model))

    async def with_template(self, model: StoredModel, template: str) -> TextSide:
        """The text side of ``model`` with another Go template, for one request."""
        chat_format = from_template(template)
        return TextSide(model, await self.vocabulary(model), chat_format)

    async def vocabulary(self, model: StoredModel) -> Vocabulary:
        return await asyncio.to_thread(self._vocabulary, model)

    def capabilities(self, model: StoredModel, *, look_into_jinja: bool = True) -> tuple[str, ...]:
        if model.is_remote:
            return model.config.capabilities

        def find() -> tuple[str, ...]:
            return capabilities(
                facts_of(model), prefer_go=self._prefer_go, look_into_jinja=look_into_jinja
            )

        return self._capabilities.get((model.digest, look_into_jinja), find)

    def template(self, model: StoredModel) -> str:
        """The text of the template that prompts are made with."""
        return shown_template(facts_of(model), prefer_go=self._prefer_go)

    def _make(self, model: StoredModel) -> TextSide:
        vocabulary = self._vocabulary(model)
        chat_format = select(
            facts_of(model),
            self._jinja_of(vocabulary),
            prefer_go=self._prefer_go,
        )
        return TextSide(model, vocabulary, chat_format)

    def _vocabulary(self, model: StoredModel) -> Vocabulary:
        return self._vocabularies.of(_weights(model))


def facts_of(model: StoredModel) -> ModelFacts:
    """What the text side needs to know about ``model``."""
    config = model.config
    return ModelFacts(
        family=config.model_family,
        name=model.name.model,
        tag=model.name.tag,
        size=config.model_type,
        template=model.template,
        jinja=model.chat_template,
        renderer=config.renderer,
        parser=config.parser,
        capabilities=config.capabilities,
        metadata=model.metadata,
        projectors=tuple(read_gguf(path).metadata for path in model.projector_paths),
    )


def _weights(model: StoredModel) -> Path:
    if model.model_path is None:
        raise StoreError(f"model '{model.name.short}' has no weights in the store")
    return model.model_path
