"""The one place where everything is put together: settings in, a running server out."""

from __future__ import annotations

import asyncio
import platform
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from msgspec.structs import replace

from pyollama import __version__, _native, builtin, log
from pyollama._native import Model, drain_log, read_rendered
from pyollama.chat.autodetect import detect
from pyollama.chat.format import OpenJinja
from pyollama.chat.gotemplates import GoTemplate
from pyollama.chat.jinja import JinjaTemplate
from pyollama.config import Settings
from pyollama.convert.process import Converter, quantize
from pyollama.runtime import devices
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
from pyollama.service.vocabulary import NativeVocabulary, Vocabularies, Vocabulary
from pyollama.store.aliases import Aliases
from pyollama.store.builtin import Builtin
from pyollama.store.create import CreateTools, DetectedTemplate
from pyollama.store.elsewhere import Folders
from pyollama.store.gguf import read_gguf
from pyollama.store.registry.address import Network
from pyollama.store.registry.candidates import Places
from pyollama.store.registry.huggingface import Hub
from pyollama.store.registry.pull import Pull, pulled_name
from pyollama.store.store import Store
from pyollama.templating.renderer import Renderer, SeparateTemplate
from pyollama.templating.wire import Source
from pyollama.types import Progress
from pyollama.worker.health import WorkerLimits

_CONVERTER = Path(_native.__file__).parent / "converter"
"""Where the build puts llama.cpp's converter: beside the binding."""

_IDLE = 24 * 3600
"""Seconds an idle connection stays open. Ollama never closes one, so clients do not expect it: a
request sent into a connection that is just being closed would be lost."""

_GRACE = 5
"""Seconds that connections get to end once all models are unloaded."""


@dataclass(frozen=True, slots=True)
class Application:
    """A server's parts. Whoever builds one closes it."""

    settings: Settings
    store: Store
    pool: ModelPool
    services: Services
    renderer: Renderer
    app: FastAPI

    async def close(self) -> None:
        """End all transfers and all processes."""
        await self.services.transfers.close()
        await self.pool.close()
        await asyncio.to_thread(self.renderer.close)


def open_store(settings: Settings) -> Store:
    """The models on disk, for what needs no server."""

    def pull(text: str) -> Iterator[Progress]:
        return Pull(store, _places(settings, store), pulled_name(text)).steps()

    store = Store(
        settings.models,
        builtin=Builtin(builtin.FOLDER) if settings.builtin and builtin.is_complete() else None,
        keep_unused=settings.noprune,
        aliases=Aliases.of(settings.aliases, "PYOLLAMA_ALIASES"),
        folders=Folders(settings.hugging_face, settings.lm_studio),
        tools=CreateTools(
            check_template=_check_template,
            detect_template=_detect_template,
            quantize=quantize,
            convert=Converter(_CONVERTER),
            pull=pull,
        ),
    )
    return store


def machine() -> devices.Hardware:
    """The devices and the memory that models can be put on."""
    return devices.hardware()


def build(settings: Settings) -> Application:
    """Put the parts together; nothing is started yet."""
    store = open_store(settings)
    renderer = Renderer()
    texts = TextSides(
        Vocabularies(_open_vocabulary),
        partial(_open_jinja, renderer),
        prefer_go=settings.go_template,
    )
    pool = _pool(settings)
    requests = ActiveRequests()
    services = Services(
        chat=ChatService(store, pool, texts, requests),
        generate=GenerateService(store, pool, texts, requests),
        embed=EmbedService(store, pool, texts),
        models=ModelService(store, pool, texts),
        transfers=TransferService(store, _places(settings, store)),
        prompts=PromptService(store, texts),
        scoring=ScoringService(store, pool, texts),
        status=StatusService(pool, requests, devices.hardware),
        requests=requests,
    )
    return Application(settings, store, pool, services, renderer, create_app(services, settings))


def serve(settings: Settings) -> None:
    """Run a server until it is told to stop (SIGINT, SIGTERM)."""
    log.set_up(settings.debug)
    application = build(settings)
    application.store.prune()
    config = uvicorn.Config(
        application.app,
        host=settings.address.host,
        port=settings.address.port,
        loop="uvloop",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=_IDLE,
        server_header=False,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops at these and then raises them again; having stopped is all there is to it.
        signal.signal(number, lambda *_: None)
    _Server(config, application).run()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Unload all models first, so that running answers end with an error of their own."""
        closing = asyncio.create_task(self._application.close())
        await super().shutdown(sockets)
        await closing


def _places(settings: Settings, store: Store) -> Places:
    """Where models are pulled from, and with whose key."""
    machine, system = platform.machine(), platform.system().lower()
    network = Network(
        f"pyollama/{__version__} ({machine} {system}) Python/{platform.python_version()}",
        settings.private_registries,
        settings.registry_mirrors,
    )
    return Places(network, _sign, Hub(settings.hf_endpoint, settings.hf_token), store)


def _sign(data: bytes) -> str:
    # What signs is only loaded, and the key only made, when a registry asks who we are.
    from pyollama.store.registry.keys import load_key

    return load_key(Path.home() / ".ollama").sign(data)


def _pool(settings: Settings) -> ModelPool:
    policy = Policy(
        context_length=settings.context_length,
        num_parallel=settings.num_parallel,
        kv_cache_type=settings.kv_cache_type,
        flash_attention=settings.flash_attention,
        gpu_overhead=settings.gpu_overhead,
        spread=settings.sched_spread,
        prefix_ram=settings.prefix_ram,
        prefix_disk=settings.prefix_disk,
        prefix_dir=str(settings.prefix_dir),
    )
    loader = ModelLoader(policy, WorkerLimits(load_timeout=settings.load_timeout))
    return ModelPool(
        loader,
        keep_alive=settings.keep_alive,
        max_loaded=settings.max_loaded_models or loader.max_models,
        max_queue=settings.max_queue,
    )


def _open_vocabulary(path: Path) -> NativeVocabulary:
    read_gguf(path)  # what is not sound does not get into llama.cpp, least of all in this process
    try:
        return Model(path, vocab_only=True)
    finally:
        log.forward_native(drain_log)


def _open_jinja(renderer: Renderer, vocabulary: Vocabulary) -> OpenJinja:
    model = vocabulary.native
    if not isinstance(model, Model):
        raise TypeError("Jinja needs the vocabulary of a model that llama.cpp has opened")
    special = Source(bos=_token_text(model, model.bos), eos=_token_text(model, model.eos))

    def open_jinja(text: str | None) -> JinjaTemplate:
        source = replace(special, text=text)
        renderer.check(source)
        return SeparateTemplate(renderer, source, partial(read_rendered, model))

    return open_jinja


def _token_text(model: Model, token: int) -> str:
    return model.piece(token, render_special=True).decode("utf-8", "replace") if token >= 0 else ""


def _check_template(text: str) -> None:
    GoTemplate.parse(text)


def _detect_template(jinja: str) -> DetectedTemplate | None:
    family = detect(jinja)
    if family is None:
        return None
    parameters = {"stop": list(family.stops)} if family.stops else {}
    return DetectedTemplate(family.name, family.template, parameters)
