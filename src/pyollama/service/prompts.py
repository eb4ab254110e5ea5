"""Texts, tokens and prompts of stored models; needs no weights in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pyollama.chat.prompt import prompt_tokens
from pyollama.errors import InvalidRequest
from pyollama.service.library import Resolver, find_to_run
from pyollama.service.texts import TextSides
from pyollama.service.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class TextTokens:
    """Token ids, and the text of each; parts of a character show as U+FFFD."""

    ids: list[int]
    pieces: list[str]


class PromptService:
    """Turns texts into tokens and back."""

    def __init__(self, store: Resolver, texts: TextSides) -> None:
        self._store = store
        self._texts = texts

    async def tokenize(
        self, name: str, text: str, *, files: bool, add_special: bool, parse_special: bool
    ) -> TextTokens:
        """With both, the tokens are those of a raw prompt."""
        vocabulary = await self._vocabulary(name, files=files)

        def work() -> TextTokens:
            if add_special and parse_special:
                ids = prompt_tokens(text, vocabulary)
            else:
                ids = vocabulary.tokenize(
                    text, add_special=add_special, parse_special=parse_special
                )
            return TextTokens(ids, [vocabulary.token_text(token) for token in ids])

        return await asyncio.to_thread(work)

    async def detokenize(self, name: str, tokens: Sequence[int], *, files: bool) -> str:
        """The text of ``tokens``, special ones included."""
        vocabulary = await self._vocabulary(name, files=files)
        check_tokens(tokens, vocabulary)
        return await asyncio.to_thread(vocabulary.detokenize, tokens)

    async def _vocabulary(self, name: str, *, files: bool) -> Vocabulary:
        return await self._texts.vocabulary(await find_to_run(self._store, name, files=files))


def check_tokens(tokens: Sequence[int], vocabulary: Vocabulary) -> None:
    n_vocab = vocabulary.native.n_vocab
    for token in tokens:
        if not 0 <= token < n_vocab:
            raise InvalidRequest(
                f"tokens: {token} is outside the vocabulary of {n_vocab} tokens", field="tokens"
            )
