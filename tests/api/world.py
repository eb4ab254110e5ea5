"""A whole server in this process, but for llama.cpp: a real store, pool, text side and application.

The engine speaks from a script. The last word after an ``@`` in the prompt chooses what it says;
every other prompt is answered with ``Hello there.``. Tokens are bytes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from tests.unit.store.conftest import STRING, gguf_bytes

from pyollama.chat.format import OpenJinja
from pyollama.chat.gotemplates import GoTemplate
from pyollama.chat.jinja import JinjaTemplate
from pyollama.config import Settings
from pyollama.engine.spec import LoadSpec
from pyollama.errors import NativeError
from pyollama.runtime.devices import Hardware
from pyollama.runtime.fit import Policy
from pyollama.runtime.loader import ModelLoader
from pyollama.runtime.pool import ModelPool
from pyollama.server.app import create_app
from pyollama.service.active import ActiveRequests
from pyollama.service.chat import ChatService
from pyollama.service.embed import EmbedService
from pyollama.service.generate import GenerateService
from pyollama.service.models import ModelService
from pyollama.service.prompts import PromptService
from pyollama.service.scoring import ScoringService
from pyollama.service.services import Services
from pyollama.service.status import StatusService
from pyollama.service.texts import TextSides
from pyollama.service.transfers import TransferService
from pyollama.service.vocabulary import Vocabularies, Vocabulary
from pyollama.store.create import CreateTools
from pyollama.store.registry.address import Network
from pyollama.store.registry.candidates import Places
from pyollama.store.registry.huggingface import Hub
from pyollama.store.store import Store
from pyollama.types import (
    ContextShifted,
    CreateRequest,
    Embedded,
    EmbedRequest,
    EngineInfo,
    EngineStats,
    Finished,
    GenerateRequest,
    TokenLogprob,
    Tokens,
    Usage,
)
from pyollama.worker.health import WorkerLimits

UINT32 = 4
CHAT = "{{ range .Messages }}[{{ .Role }}]{{ .Content }}\n{{ end }}[assistant]"
THINK = (
    "{{ range .Messages }}[{{ .Role }}]{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
)
THINK += "{{ .Content }}\n{{ end }}[assistant]"
TOOLS = "{{ json .Tools }}{{ range .Messages }}[{{ .Role }}]{{ .Content }}{{ if .ToolCalls }}"
TOOLS += '<tool_call>{{ range .ToolCalls }}{"name": "{{ .Function.Name }}"}{{ end }}{{ end }}\n'
TOOLS += "{{ end }}[assistant]"

SCRIPTS: dict[str, tuple[str, ...]] = {
    "@hello": ("Hello", " there", "."),
    "@html": ("<b>", "&amp;"),
    "@think": ("<think>", "Let me see.", "</think>", "Forty-two."),
    "@tool": ("Look: ", '<tool_call>{"name": "weather", ', '"arguments": {"city": "Rome"}}'),
    "@json": ('{"a":', " 1}"),
}


@dataclass
class Engine:
    """See the module. ``running`` counts the requests that have not been given up.

    ``@waits`` waits for ``gate`` after every piece.
    """

    spec: LoadSpec
    running: int = 0
    requests: list[GenerateRequest] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            n_ctx=self.spec.n_ctx,
            n_ctx_train=self.spec.n_ctx,
            n_slots=1,
            n_vocab=256,
            n_embd=4,
            size=1000,
            size_vram=0,
            can_shift=True,
            embeddings=self.spec.embeddings,
        )

    async def generate(
        self, request: GenerateRequest
    ) -> AsyncGenerator[Tokens | ContextShifted | Finished, None]:
        self.requests.append(request)
        self.running += 1
        try:
            cue = _cue(request)
            if cue == "@broken":
                raise NativeError("the model is broken")
            count = -1
            for count, text in enumerate(SCRIPTS.get(cue, SCRIPTS["@hello"])):
                if count == request.max_tokens:
                    yield _finished(request, "length", count)
                    return
                yield Tokens(request.id, text, (count,), _logprobs(request, text))
                if cue == "@breaks":
                    raise NativeError("the model broke")
                if cue == "@waits":
                    await self.gate.wait()
            yield _finished(request, "stop", count + 2)
        finally:
            self.running -= 1

    async def embed(self, request: EmbedRequest) -> Embedded:
        rows = [[len(tokens), 3.0, 0.0, 0.0] for tokens in request.inputs]
        vectors = np.array(rows, np.float32).tobytes()
        return Embedded(request.id, vectors, 4, Usage(prompt_tokens=sum(map(len, request.inputs))))

    async def stats(self) -> EngineStats:
        return EngineStats(waiting=0, running=0, slots=1, cells_used=0, cells=0, steps=0)

    async def close(self) -> None:
        await asyncio.sleep(0)


def _cue(request: GenerateRequest) -> str:
    cues = re.findall(r"@\w+", bytes(request.tokens).decode())
    return cues[-1] if cues else ""


def _logprobs(request: GenerateRequest, text: str) -> tuple[TokenLogprob, ...]:
    if request.logprobs is None:
        return ()
    other = TokenLogprob("other", -2.0, b"other")
    return (TokenLogprob(text, -0.25, text.encode(), (other,) * request.logprobs),)


def _finished(request: GenerateRequest, reason: str, count: int) -> Finished:
    usage = Usage(len(request.tokens), 0, count, 1, 2, 3)
    return Finished(request.id, "length" if reason == "length" else "stop", usage)


class ByteVocabulary:
    """Every byte is a token."""

    add_bos = add_eos = add_sep = False
    bos = sep = -1
    n_vocab = 256

    def tokenize(
        self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False
    ) -> NDArray[np.int32]:
        data = text.encode() if isinstance(text, str) else text
        return np.frombuffer(data, np.uint8).astype(np.int32)

    def tokenize_batch(
        self, texts: Sequence[str], *, add_special: bool = True, parse_special: bool = False
    ) -> list[NDArray[np.int32]]:
        return [self.tokenize(text) for text in texts]

    def detokenize(
        self, tokens: Sequence[int], *, remove_special: bool = False, render_special: bool = False
    ) -> bytes:
        return bytes(tokens)

    def piece(self, token: int, *, render_special: bool = False) -> bytes:
        return bytes([token])


@dataclass
class World:
    app: FastAPI
    store: Store
    pool: ModelPool
    engines: list[Engine]


def make_world(folder: Path) -> World:
    """A server with the models ``chat``, ``think``, ``tools`` and ``vectors``."""
    engines: list[Engine] = []

    async def start(
        spec: LoadSpec, *, on_death: Callable[[], None], limits: WorkerLimits
    ) -> Engine:
        engines.append(Engine(spec))
        return engines[-1]

    store = Store(folder, tools=CreateTools(check_template=_parse))
    _add_models(store)
    machine = Hardware(gpus=(), memory_free=1 << 36, memory_total=1 << 36)
    loader = ModelLoader(Policy(), WorkerLimits(), hardware=lambda: machine, start=start)
    pool = ModelPool(loader)
    texts = TextSides(Vocabularies(lambda path: ByteVocabulary()), _no_jinja)
    requests = ActiveRequests()
    services = Services(
        chat=ChatService(store, pool, texts, requests),
        generate=GenerateService(store, pool, texts, requests),
        embed=EmbedService(store, pool, texts),
        models=ModelService(store, pool, texts),
        transfers=TransferService(store, Places(Network(), lambda data: "", Hub(), store)),
        prompts=PromptService(store, texts),
        scoring=ScoringService(store, pool, texts),
        status=StatusService(pool, requests, lambda: machine),
        requests=requests,
    )
    return World(create_app(services, Settings()), store, pool, engines)


def _parse(template: str) -> None:
    GoTemplate.parse(template)


def _no_jinja(vocabulary: Vocabulary) -> OpenJinja:
    def open_jinja(source: str | None) -> JinjaTemplate:
        raise AssertionError("the models here have Go templates")

    return open_jinja


def _add_models(store: Store) -> None:
    weights = _weights(store, "llama")
    for name, template in (("chat", CHAT), ("think", THINK), ("tools", TOOLS)):
        list(
            store.create(
                CreateRequest(
                    model=name,
                    files={"w.gguf": weights},
                    template=template,
                    parameters={"temperature": 0.5, "stop": ["[user]"]},
                )
            )
        )
    vectors = {"v.gguf": _weights(store, "bert", {"bert.pooling_type": (UINT32, 1)})}
    list(store.create(CreateRequest(model="vectors", files=vectors)))


def _weights(
    store: Store, architecture: str, extra: dict[str, tuple[int, int]] | None = None
) -> str:
    facts = {
        "general.architecture": (STRING, architecture),
        "general.file_type": (UINT32, 1),
        f"{architecture}.context_length": (UINT32, 64 if extra else 512),
        f"{architecture}.embedding_length": (UINT32, 4),
        f"{architecture}.block_count": (UINT32, 1),
    }
    tensor = ("token_embd.weight", (4, 8), 0, bytes(128))
    digest, _ = store.blobs.put(gguf_bytes(facts | (extra or {}), [tensor]))
    return digest
