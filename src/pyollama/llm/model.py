"""The Python API: a model in this process, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyollama.chat.capabilities import capabilities
from pyollama.chat.format import select
from pyollama.chat.interface import Turn
from pyollama.chat.native import jinja_opener
from pyollama.chat.prompt import prompt_tokens
from pyollama.config import Settings
from pyollama.engine.engine import Engine, load_parts
from pyollama.engine.spec import LoadSpec
from pyollama.engine.state import fingerprint, pack, unpack
from pyollama.errors import EngineError, InvalidRequest
from pyollama.llm.answers import AsyncStream, ChatAnswer, Completion, Last, Score, Stream
from pyollama.llm.choices import Wanted, several
from pyollama.llm.loading import default_context, draft_weights, weights, with_tiers
from pyollama.llm.messages import Messages, read_messages
from pyollama.llm.options import (
    ChatOptions,
    GenerateOptions,
    effective,
    json_format,
    with_json_format,
)
from pyollama.llm.portal import Portal
from pyollama.llm.session import Session
from pyollama.llm.source import find_model
from pyollama.service.answering import Answering
from pyollama.service.chat import conversation
from pyollama.service.checks import check_media, check_task, check_wanted, think_value
from pyollama.service.generation import next_id
from pyollama.service.options import merge
from pyollama.service.texts import TextSide, facts_of
from pyollama.service.vocabulary import Vocabulary
from pyollama.types import (
    Adapters,
    ChatRequest,
    Delta,
    Done,
    EmbedRequest,
    EngineInfo,
    EngineStats,
    Finished,
    FinishReason,
    GenerateRequest,
    Message,
    Tokens,
)

T = TypeVar("T")
Prompt = str | Sequence[int]


class LLM:
    """A loaded model.

    ``model`` is the path of a GGUF file or the name of a model in the store, ``draft`` likewise a
    small model of the same family whose guesses make it faster. It runs up to ``n_slots`` requests
    at a time, each with a context of ``n_ctx`` tokens; further ones wait.
    Everything may be called from any thread, the ``a...`` methods from any event loop. Leave a
    ``with`` or ``async with`` block, or call :meth:`close`, to free the memory.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        draft: str | os.PathLike[str] | None = None,
        n_ctx: int = 0,
        n_slots: int = 4,
        n_threads: int = 0,
        n_gpu_layers: int = -1,
        use_mmap: bool | None = None,
        flash_attn: bool | None = None,
        cache_type: str = "f16",
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings.load()
        self._stored = find_model(model, settings)
        self._defaults = merge(self._stored.params, {})
        spec = LoadSpec(
            path=weights(self._stored, model),
            adapters=tuple(map(str, self._stored.adapter_paths)),
            draft_path=draft_weights(self._stored, draft, settings),
            n_ctx=n_ctx or self._defaults.load.num_ctx or default_context(self._stored),
            n_slots=n_slots,
            n_threads=n_threads,
            n_gpu_layers=n_gpu_layers,
            use_mmap=use_mmap,
            embeddings=f"{self._stored.architecture}.pooling_type" in self._stored.metadata,
            type_k=cache_type,
            type_v=cache_type,
            flash_attn=flash_attn,
        )
        parts = load_parts(with_tiers(spec, settings))
        self._native = parts.backend.model
        self._engine = Engine(*parts)
        self._portal = Portal()
        # One thread for all texts: more of them would only take turns with the event loop.
        self._text_thread = ThreadPoolExecutor(1, thread_name_prefix="text")
        self._vocabulary = Vocabulary(self._native)
        self._fingerprint = fingerprint(
            self._native.metadata, str(self._native.size), cache_type, *spec.adapters
        )

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def metadata(self) -> dict[str, str]:
        """What the GGUF file says about the model."""
        return self._native.metadata

    # --- tokens -----------------------------------------------------------------------------------

    def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """``parse_special`` reads markup such as ``<|im_start|>`` in ``text`` as special tokens."""
        return self._vocabulary.tokenize(text, add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Sequence[int]) -> str:
        return self._vocabulary.detokenize(tokens)

    # --- embeddings -------------------------------------------------------------------------------

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        normalize: bool = True,
        adapters: Adapters | None = None,
    ) -> NDArray[np.float32]:
        """One vector for a text, a matrix with one row each for several.

        A ranking model gives the scores of a text that holds a question and an answer.
        """
        return self.wait(self.aembed(texts, normalize=normalize, adapters=adapters))

    async def aembed(
        self,
        texts: str | Sequence[str],
        *,
        normalize: bool = True,
        adapters: Adapters | None = None,
    ) -> NDArray[np.float32]:
        wanted = [texts] if isinstance(texts, str) else texts
        inputs = await self._in_text_thread(lambda: self._vocabulary.tokenize_all(wanted))
        embedded = await self._engine.embed(EmbedRequest(next_id(), inputs, adapters))
        vectors = np.frombuffer(embedded.vectors, np.float32).reshape(-1, embedded.dimensions)
        if normalize and self.info.pooling != "rank":
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        return vectors[0] if isinstance(texts, str) else vectors

    # --- completions ------------------------------------------------------------------------------

    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        stream: Literal[False] = False,
        n: None = None,
        best_of: int | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Completion: ...
    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        n: int,
        best_of: int | None = None,
        **options: Unpack[GenerateOptions],
    ) -> list[Completion]: ...
    @overload
    def generate(
        self, prompt: Prompt, *, stream: Literal[True], **options: Unpack[GenerateOptions]
    ) -> Stream[str, Completion]: ...
    def generate(
        self,
        prompt: Prompt,
        *,
        stream: bool = False,
        n: int | None = None,
        best_of: int | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Completion | list[Completion] | Stream[str, Completion]:
        """Continue a text, or tokens, as they are: no template. ``stream`` gives text piecewise.

        ``n`` gives a list of so many answers, with seeds one apart where there is a seed; the
        prompt is computed once. ``best_of`` tries more of them and keeps those with the highest
        mean log-probability.
        """
        if stream:
            _check_single(n, best_of)
            return Stream(self.astream(prompt, **options), self._portal)
        return self.wait(self._generate(prompt, n, best_of, options))

    @overload
    async def agenerate(
        self,
        prompt: Prompt,
        *,
        n: None = None,
        best_of: int | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Completion: ...
    @overload
    async def agenerate(
        self,
        prompt: Prompt,
        *,
        n: int,
        best_of: int | None = None,
        **options: Unpack[GenerateOptions],
    ) -> list[Completion]: ...
    async def agenerate(
        self,
        prompt: Prompt,
        *,
        n: int | None = None,
        best_of: int | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Completion | list[Completion]:
        """:meth:`generate`, awaited; the streaming form is :meth:`astream`."""
        return await self._generate(prompt, n, best_of, options)

    async def _generate(
        self, prompt: Prompt, n: int | None, best_of: int | None, options: GenerateOptions
    ) -> Completion | list[Completion]:
        wanted = Wanted.of(n, best_of)
        if n is None and not wanted.ranks:
            return await self.astream(prompt, **options).result()
        tokens = await self._in_text_thread(lambda: self._prompt_tokens(prompt))

        async def ask(varied: GenerateOptions) -> Completion:
            return await self.astream(tokens, **varied).result()

        answers = await several(ask, wanted, self._defaults, options)
        return answers[0] if n is None else answers

    def astream(
        self, prompt: Prompt, **options: Unpack[GenerateOptions]
    ) -> AsyncStream[str, Completion]:
        return AsyncStream(self._completion(prompt, options))

    async def _completion(
        self, prompt: Prompt, asked: GenerateOptions
    ) -> AsyncGenerator[str | Last[Completion], None]:
        tokens = await self._in_text_thread(lambda: self._prompt_tokens(prompt))
        request = self._request(tokens, asked)
        said: list[Tokens] = []
        async with aclosing(self._engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, Tokens):
                    said.append(event)
                    yield event.text
                elif isinstance(event, Finished):
                    yield Last(_completion(said, event))

    def _prompt_tokens(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            return prompt_tokens(prompt, self._vocabulary)
        return list(prompt)

    def _request(self, tokens: list[int], asked: GenerateOptions) -> GenerateRequest:
        options = effective(self._defaults, asked)
        return GenerateRequest(
            id=next_id(),
            tokens=tokens,
            sampling=with_json_format(options.sampling, asked),
            max_tokens=options.num_predict,
            stop=options.stop,
            n_keep=max(options.num_keep, -1),
            shift=asked.get("shift", False),
            logprobs=asked.get("logprobs"),
            max_draft=max(options.draft_num_predict, -1),
            adapters=options.adapters,
        )

    def score(self, prompt: Prompt, *, adapters: Adapters | None = None) -> Score:
        """How likely a text is: the log-probability of each of its tokens after those before."""
        return self.wait(self.ascore(prompt, adapters=adapters))

    async def ascore(self, prompt: Prompt, *, adapters: Adapters | None = None) -> Score:
        tokens = await self._in_text_thread(lambda: self._prompt_tokens(prompt))
        request = GenerateRequest(
            next_id(), tokens, max_tokens=0, prompt_logprobs=True, adapters=adapters
        )
        async with aclosing(self._engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    logprobs = np.frombuffer(event.prompt_logprobs, np.float32)
                    return Score(tuple(tokens), logprobs, event.usage)
        raise EngineError("a generation ended without its last event")

    # --- conversations ----------------------------------------------------------------------------

    @overload
    def chat(
        self,
        messages: Messages,
        *,
        stream: Literal[False] = False,
        n: None = None,
        best_of: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatAnswer: ...
    @overload
    def chat(
        self,
        messages: Messages,
        *,
        n: int,
        best_of: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> list[ChatAnswer]: ...
    @overload
    def chat(
        self, messages: Messages, *, stream: Literal[True], **options: Unpack[ChatOptions]
    ) -> Stream[Delta, ChatAnswer]: ...
    def chat(
        self,
        messages: Messages,
        *,
        stream: bool = False,
        n: int | None = None,
        best_of: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatAnswer | list[ChatAnswer] | Stream[Delta, ChatAnswer]:
        """Answer a conversation in the model's own format. ``stream`` gives the answer piecewise.

        The oldest messages are left out where all of them do not fit into the context. ``n`` and
        ``best_of`` are those of :meth:`generate`.
        """
        if stream:
            _check_single(n, best_of)
            return Stream(self.astream_chat(messages, **options), self._portal)
        return self.wait(self._chat(messages, n, best_of, options))

    @overload
    async def achat(
        self,
        messages: Messages,
        *,
        n: None = None,
        best_of: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatAnswer: ...
    @overload
    async def achat(
        self,
        messages: Messages,
        *,
        n: int,
        best_of: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> list[ChatAnswer]: ...
    async def achat(
        self,
        messages: Messages,
        *,
        n: int | None = None,
        best_of: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatAnswer | list[ChatAnswer]:
        """:meth:`chat`, awaited; the streaming form is :meth:`astream_chat`."""
        return await self._chat(messages, n, best_of, options)

    async def _chat(
        self, messages: Messages, n: int | None, best_of: int | None, options: ChatOptions
    ) -> ChatAnswer | list[ChatAnswer]:
        wanted = Wanted.of(n, best_of)
        if n is None and not wanted.ranks:
            return await self.astream_chat(messages, **options).result()

        async def ask(varied: ChatOptions) -> ChatAnswer:
            return await self.astream_chat(messages, **varied).result()

        answers = await several(ask, wanted, self._defaults, options)
        return answers[0] if n is None else answers

    def astream_chat(
        self, messages: Messages, **options: Unpack[ChatOptions]
    ) -> AsyncStream[Delta, ChatAnswer]:
        return AsyncStream(self._answer(messages, options))

    async def _answer(
        self, messages: Messages, asked: ChatOptions
    ) -> AsyncGenerator[Delta | Last[ChatAnswer], None]:
        started = time.monotonic_ns()
        request = self._chat_request(messages, asked)
        side = await self._in_text_thread(lambda: self._text_side)
        options = effective(self._defaults, asked)
        job = Answering(self._engine, self.info.n_ctx, side, request, options, started, started)
        turn = Turn(request.messages, request.tools, request.think, request.format)
        fitted = await self._in_text_thread(lambda: job.room.chat(turn))
        said: list[Delta] = []
        async with aclosing(job.events(fitted)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    said.append(event)
                    yield event
                elif isinstance(event, Done):
                    said.append(event.tail)
                    if event.tail != Delta():
                        yield event.tail
                    yield Last(_chat_answer(said, event))

    async def _in_text_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._text_thread, work)

    @cached_property
    def _text_side(self) -> TextSide:
        opener = jinja_opener(self._native)
        chat_format = select(facts_of(self._stored), opener)
        return TextSide(self._stored, self._vocabulary, chat_format)

    def _chat_request(self, messages: Messages, asked: ChatOptions) -> ChatRequest:
        """What is asked, refused if the model cannot do it."""
        name = self._stored.name.short
        can = capabilities(facts_of(self._stored))
        check_task("chat", name, can)
        tools = tuple(asked.get("tools", ()))
        check_wanted(self._stored, can, ["tools"] if tools else [])
        said = read_messages(messages)
        check_media(self._stored, said)
        request = ChatRequest(
            model=name,
            messages=conversation(self._stored, said),
            tools=tools,
            think=asked.get("think"),
            format=json_format(asked),
            shift=asked.get("shift", False),
            logprobs="logprobs" in asked,
            top_logprobs=asked.get("logprobs", 0),
        )
        return msgspec.structs.replace(request, think=think_value(name, request, can))

    # --- prefixes that are kept -------------------------------------------------------------------

    def session(self, prompt: Prompt = "") -> Session:
        """A text to go on with, piece by piece."""
        return Session(self, self._prompt_tokens(prompt) if prompt else ())

    def save_state(self, prompt: Prompt) -> bytes:
        """``prompt`` and its KV cache, to be kept anywhere."""
        return self.wait(self.asave_state(prompt))

    async def asave_state(self, prompt: Prompt) -> bytes:
        tokens = await self._in_text_thread(lambda: self._prompt_tokens(prompt))
        request = GenerateRequest(next_id(), tokens, max_tokens=0)
        state = await self._engine.save_state(request)
        return await asyncio.to_thread(pack, self._fingerprint, tokens, state)

    def load_state(self, state: bytes) -> Session:
        """Put a saved state into the prefix cache, so that what begins like it starts warm.

        The model has to be the one that saved it. A damaged state raises ``InvalidRequest``; where
        a state comes from is not checked, so take none from strangers.
        """
        return self.wait(self.aload_state(state))

    async def aload_state(self, state: bytes) -> Session:
        tokens, cache = await asyncio.to_thread(unpack, self._fingerprint, state)
        await self._engine.restore_state(tokens, cache)
        return Session(self, tokens)

    async def astats(self) -> EngineStats:
        """How busy the model is."""
        return await self._engine.stats()

    # --- the end ----------------------------------------------------------------------------------

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of one of the ``a...`` methods, in a program without an event loop."""
        return self._portal.run(work)

    def close(self) -> None:
        """Free the model; what is running ends with ``EngineClosed``. Closing twice is fine."""
        if not self._portal.closed:
            self.wait(self._engine.close())
        self._portal.close()
        self._text_thread.shutdown(wait=False)

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _check_single(n: int | None, best_of: int | None) -> None:
    if n is not None or best_of is not None:
        field = "n" if n is not None else "best_of"
        raise InvalidRequest(f"{field}: a stream is one answer", field=field)


def _completion(said: Sequence[Tokens], end: Finished) -> Completion:
    return Completion(
        text="".join(event.text for event in said),
        tokens=tuple(token for event in said for token in event.tokens),
        finish_reason=end.reason,
        usage=end.usage,
        stop=end.stop,
        logprobs=tuple(entry for event in said for entry in event.logprobs),
    )


def _chat_answer(said: Sequence[Delta], end: Done) -> ChatAnswer:
    message = Message(
        role="assistant",
        content="".join(delta.content for delta in said),
        thinking="".join(delta.thinking for delta in said),
        tool_calls=tuple(call for delta in said for call in delta.tool_calls),
    )
    logprobs = tuple(entry for delta in said for entry in delta.logprobs)
    reason: FinishReason = "length" if end.reason == "length" else "stop"
    return ChatAnswer(message, reason, end.usage, logprobs)
