"""A text that grows: what was said so far stays in the cache of the model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from pyollama.llm.answers import Completion
from pyollama.llm.options import GenerateOptions

if TYPE_CHECKING:
    from pyollama.llm.model import LLM


class Session:
    """Tokens of prompts and answers, in turn; made by :meth:`LLM.session`.

    A session holds no memory of the model. Its tokens are found again in the prefix cache, by this
    session and by its forks, as long as other requests leave them there.
    """

    def __init__(self, llm: LLM, tokens: Sequence[int] = ()) -> None:
        self._llm = llm
        self._tokens = list(tokens)

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(self._tokens)

    @property
    def text(self) -> str:
        return self._llm.detokenize(self._tokens)

    def generate(self, text: str = "", **options: Unpack[GenerateOptions]) -> Completion:
        """Add ``text``, and what the model says to it."""
        return self._llm.wait(self.agenerate(text, **options))

    async def agenerate(self, text: str = "", **options: Unpack[GenerateOptions]) -> Completion:
        prompt = [*self._tokens, *await self._tokenize(text, add_special=not self._tokens)]
        completion = await self._llm.agenerate(prompt, **options)
        said: Sequence[int] = completion.tokens
        if completion.stop:  # the last token may have been shown in part
            said = await self._tokenize(completion.text, add_special=False)
        self._tokens = [*prompt, *said]
        return completion

    async def _tokenize(self, text: str, *, add_special: bool) -> list[int]:
        return await asyncio.to_thread(self._llm.tokenize, text, add_special=add_special)

    def fork(self) -> Session:
        """Another session that goes on from the same place; the cache of both is shared."""
        return Session(self._llm, self._tokens)

    def save_state(self) -> bytes:
        """The session and its KV cache; see :meth:`LLM.load_state`."""
        return self._llm.save_state(self._tokens)

    async def asave_state(self) -> bytes:
        return await self._llm.asave_state(self._tokens)
