"""Pulling a model: its manifest is read, the blobs that are missing come, the manifest is written.

Everything is one stream of :class:`Progress` whose counts never go back. The manifest is stored
byte for byte, last, and only when all of its blobs are there and right.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress

from pyollama.errors import (
    Aborted,
    PyollamaError,
    RegistryError,
    StoreError,
)
from pyollama.store.blobs import Blobs, Pins
from pyollama.store.manifest import Layer
from pyollama.store.name import Name, split_source
from pyollama.store.registry.download import Download
from pyollama.store.registry.limiter import Limiter
from pyollama.store.registry.parts import Partial, drop_leftovers
from pyollama.store.registry.remote import Remote
from pyollama.store.registry.session import Session
from pyollama.store.store import Store
from pyollama.types import Progress

_POLL = 0.2

Candidates = Callable[[Name, bool], Iterable[Remote]]
"""The places where a model may be, the best first; the second argument is ``insecure``."""


def pulled_name(text: str) -> Name:
    """The name of the model that a request to pull ``text`` is about.

    ``:local`` is left out, and the stub of a remote model is an ordinary tag.
    """
    name, source = split_source(text)
    if source == "cloud":
        name += "-cloud" if ":" in name.rpartition("/")[2] else ":cloud"
    return Name.parse(name)


class Pull:
    """One pull, for one run of :meth:`steps`. ``limit`` is bytes per second, 0 for no limit."""

    def __init__(
        self,
        store: Store,
        candidates: Candidates,
        name: Name,
        *,
        insecure: bool = False,
        limit: int = 0,
    ) -> None:
        self._store = store
        self._blobs = store.blobs
        self._candidates = candidates
        self._name = name
        self._insecure = insecure
        self._limiter = Limiter(limit)
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._cancelled = False
        self._leftovers: frozenset[str] = frozenset()

    def steps(self) -> Generator[Progress, None, None]:
        """The pull itself. Closing it, or :meth:`cancel`, ends it; what has come stays on disk."""
        yield Progress("pulling manifest")
        self._name = self._store.spelled(self._name)
        yield from self._store.take_in(self._name, self._fetch)
        self._store.discard(self._leftovers)
        yield Progress("success")

    def cancel(self) -> None:
        """Make :meth:`steps` end soon with :class:`Aborted`; from any thread."""
        with self._lock:
            self._cancelled = True
            if self._session is not None:
                self._session.abort()

    # --- the manifest ---------------------------------------------------------------------------

    def _fetch(self, pins: Pins) -> Generator[Progress, None, bytes]:
        """Bring the blobs of the model; its manifest is what is returned."""
        remote, layers = self._find()
        with remote.session:
            pins.add(layer.digest for layer in layers)
            self._check_room(layers, remote.room)
            for layer in layers:
                yield from self._pull_layer(remote, layer)
            yield Progress("verifying sha256 digest")  # each was verified before it got its name
            manifest = yield from remote.manifest(pins)
        self._leftovers = remote.leftovers
        return manifest

    def _find(self) -> tuple[Remote, Sequence[Layer]]:
        """The first place that has the model, and what to fetch from there."""
        problem: PyollamaError | None = None
        for remote in self._candidates(self._name, self._insecure):
            with self._lock:
                self._session = remote.session
            try:
                if self._cancelled:
                    raise Aborted("the transfer was given up")
                return remote, remote.layers()
            except RegistryError as error:
                remote.session.close()
                problem = _about_manifest(error)
            except BaseException:
                remote.session.close()
                raise
        raise problem or RegistryError(f"pull model manifest: no registry for {self._name}")

    def _check_room(self, layers: Sequence[Layer], more: int) -> None:
        """Notice before the first byte that the disk is too small."""
        missing = [layer for layer in layers if not _is_there(self._blobs, layer)]
        needed = sum(layer.size - self._taken(layer) for layer in missing) + more
        folder = self._blobs.folder
        while not folder.is_dir():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise StoreError(
                f"not enough room in {self._blobs.folder}: the model needs {needed} bytes,"
                f" {free} are free",
                hint="delete models or files and try again",
            )

    def _taken(self, layer: Layer) -> int:
        """The bytes on disk that an earlier run has brought already."""
        path = self._blobs.path(layer.digest)
        with suppress(OSError):
            return min(path.with_name(f"{path.name}-partial").stat().st_blocks * 512, layer.size)
        return 0

    # --- blobs ------------------------------------------------------------------------------------

    def _pull_layer(self, remote: Remote, layer: Layer) -> Iterator[Progress]:
        def progress(completed: int) -> Progress:
            status = f"pulling {layer.digest[7:19]}"
            return Progress(status, layer.digest, layer.size, completed)

        path = self._blobs.path(layer.digest)
        partial = None
        while not _is_there(self._blobs, layer):
            if partial := Partial.open(path, layer.size):
                break
            yield progress(0)  # another process is fetching it
            remote.session.wait(_POLL)
        if partial is None:
            self._blobs.touch(layer.digest)
            drop_leftovers(path)
            yield progress(layer.size)
            return
        try:
            furthest = partial.completed
            yield progress(furthest)
            blob = remote.blob(layer.digest)
            for completed in Download(
                remote.session, blob, partial, layer.digest, limiter=self._limiter
            ).run():
                furthest = max(furthest, completed)
                yield progress(furthest)
            self._blobs.settle(partial.path, layer.digest)
            partial.drop_states()
        finally:
            partial.close()
        yield progress(layer.size)


def _about_manifest(error: RegistryError) -> RegistryError:
    message = f"pull model manifest: {error.message}"
    return type(error)(message, hint=error.hint, **error.details)


def _is_there(blobs: Blobs, layer: Layer) -> bool:
    """Whether the blob need not be fetched. One of another length is damaged, or the layer lies."""
    return blobs.is_whole(layer.digest, layer.size)
