"""Pushing a model: its blobs, and then the manifest that names them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack

import msgspec

from pyollama.errors import (
    Aborted,
    AccessDenied,
    InvalidName,
    NotFound,
    StoreError,
)
from pyollama.store.blobs import Blobs
from pyollama.store.manifest import MANIFEST_TYPE, Layer, parse_manifest
from pyollama.store.name import Name
from pyollama.store.registry.session import MAX_TEXT, Session
from pyollama.store.registry.upload import Upload, is_there
from pyollama.store.store import Store
from pyollama.types import Progress

OpenSession = Callable[[Name, bool], Session]
"""A session with the registry of a name; the second argument is ``insecure``."""

_INTERVAL = 0.06
"""Seconds between two events of progress."""


class Push:
    """One push of the model that ``text`` names, for one run of :meth:`steps`."""

    def __init__(
        self, store: Store, open_session: OpenSession, text: str, *, insecure: bool = False
    ) -> None:
        self._store = store
        self._open_session = open_session
        self._text = text
        self._insecure = insecure
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._cancelled = False

    def steps(self) -> Generator[Progress, None, None]:
        """The push itself; closing it, or :meth:`cancel`, ends it.

        The manifest goes last, and goes only when the registry has every blob. What the registry
        has is not sent again. Raises :class:`StoreError` where the model is not one that can be
        pushed, else :class:`RegistryError`.
        """
        yield Progress("retrieving manifest")
        with ExitStack() as stack:
            try:
                name, manifest = stack.enter_context(self._store.keeping(self._text))
            except (InvalidName, NotFound, StoreError) as error:
                yield Progress("couldn't retrieve manifest")
                raise StoreError(_reason(self._text, error), hint=error.hint) from error
            session = stack.enter_context(self._open(name))
            try:
                yield from push(session, name, manifest, self._store.blobs)
            except AccessDenied as error:
                raise _explained(error, name) from error

    def cancel(self) -> None:
        """Make :meth:`steps` end soon with :class:`Aborted`; from any thread."""
        with self._lock:
            self._cancelled = True
            if self._session is not None:
                self._session.abort()

    def _open(self, name: Name) -> Session:
        session = self._open_session(name, self._insecure)
        with self._lock:
            self._session = session
            if self._cancelled:
                session.close()
                raise Aborted("the transfer was given up")
        return session


def push(
    session: Session, name: Name, manifest: bytes, blobs: Blobs
) -> Generator[Progress, None, None]:
    """Send a model to the registry of ``session``, under ``name``."""
    for layer in _distinct(parse_manifest(manifest).blobs):
        yield from _push_blob(session, name, layer, blobs)
    yield Progress("pushing manifest")
    kind = msgspec.json.decode(manifest, type=_Typed).mediaType
    session.fetch(
        "PUT",
        session.registry.manifest(name),
        limit=MAX_TEXT,
        headers={"content-type": kind},
        content=manifest,
    )
    yield Progress("success")


class _Typed(msgspec.Struct):
    mediaType: str = MANIFEST_TYPE


def _distinct(layers: Iterable[Layer]) -> list[Layer]:
    return list({layer.digest: layer for layer in layers}.values())


def _push_blob(
    session: Session, name: Name, layer: Layer, blobs: Blobs
) -> Generator[Progress, None, None]:
    def progress(completed: int) -> Progress:
        return Progress(f"pushing {layer.digest[7:19]}", layer.digest, layer.size, completed)

    if is_there(session, name, layer.digest):
        yield progress(layer.size)
        return
    upload = Upload(session, name, layer, blobs.require(layer.digest))
    furthest = 0
    with ThreadPoolExecutor(1, thread_name_prefix="push a blob") as pool:
        running = pool.submit(upload.run)
        try:
            while not wait([running], _INTERVAL).done:
                furthest = max(furthest, upload.completed)
                yield progress(furthest)
        finally:
            if not running.done():  # whoever wanted it has left
                session.abort()
    running.result()
    yield progress(layer.size)


def _reason(text: str, error: InvalidName | NotFound | StoreError) -> str:
    return f"unqualified name: {text}" if isinstance(error, InvalidName) else error.message


def _explained(error: AccessDenied, name: Name) -> AccessDenied:
    return AccessDenied(
        f"{error.message}: you are not authorized to push to {name.namespace}/{name.model}, create"
        " the model under a namespace you own, and add the key in ~/.ollama/id_ed25519.pub to your"
        f" account at {name.host}",
        hint=error.hint,
        **error.details,
    )
