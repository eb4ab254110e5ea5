"""The store: all models on this machine, by name.

May be used from several threads, and by several processes at once as long as they keep to the same
rules: files appear complete, blobs before the manifest that names them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pyollama.errors import (
    BlobNotFound,
    InvalidName,
    InvalidRequest,
    ModelNotFound,
    PyollamaError,
    StoreError,
)
from pyollama.store import gc
from pyollama.store.aliases import Aliases
from pyollama.store.blobs import Blobs, Pins
from pyollama.store.builtin import Builtin
from pyollama.store.carry import read_bundle, write_bundle
from pyollama.store.create import Build, CreateTools
from pyollama.store.create_checks import check_request
from pyollama.store.elsewhere import Elsewhere, Folders
from pyollama.store.files import disk_errors
from pyollama.store.lock import StoreLock
from pyollama.store.manifest import Manifest, format_manifest, parse_manifest
from pyollama.store.manifest_tree import ManifestTree
from pyollama.store.model import StoredModel, missing_files, read_model
from pyollama.store.name import Name, split_digest, split_source
from pyollama.store.verify import Finding, missing, verify
from pyollama.types import CreateRequest, Progress

log = logging.getLogger(__name__)


class Store:
    """The models below ``root``, and the one that ships with the program if ``builtin`` is given.

    Models outside of it are found by path and in ``folders``, and all under their ``aliases`` too.
    With ``keep_unused`` no blob is ever deleted (``OLLAMA_NOPRUNE``).
    """

    def __init__(
        self,
        root: Path,
        *,
        builtin: Builtin | None = None,
        keep_unused: bool = False,
        tools: CreateTools | None = None,
        aliases: Aliases | None = None,
        folders: Folders | None = None,
    ) -> None:
        self.root = root
        self.blobs = Blobs(root / "blobs")
        self._tree = ManifestTree(root / "manifests")
        self._builtin = builtin
        self._keep_unused = keep_unused
        self._tools = tools or CreateTools()
        self._aliases = aliases or Aliases()
        self._elsewhere = Elsewhere(folders)
        self._lock = StoreLock(root)
        self._known: dict[Name, tuple[tuple[int, int, int], StoredModel]] = {}

    # --- looking --------------------------------------------------------------------------------

    def resolve(self, text: str, *, files: bool = False) -> StoredModel:
        """The model that ``text`` names, in any case, with all its files there.

        It may be a file of this machine, or in another program's folder, if ``files`` is set or an
        alias stands for it.
        """
        if target := self._aliases.target(text):
            text, files = target, True
        if files and (found := self._elsewhere.at_path(text)):
            return found
        plain, digest = split_digest(text.strip())
        name = Name.parse(_local(plain))
        model = self._look_up(name) or (self._elsewhere.cached(name) if files else None)
        if model is None or (digest and digest != model.digest):
            raise ModelNotFound(f"model '{text}' not found", model=name.short)
        if model.missing:
            raise _incomplete(model.name, f"blob {model.missing[0]} is missing")
        return model

    def list(self) -> list[StoredModel]:
        """All models, newest first. What cannot be read is left out, with a line in the log."""
        models = {}
        for name in (*self._tree.names(), *([self._builtin.name] if self._builtin else ())):
            try:
                if model := self._look_up(name):
                    models[model.name] = model
            except PyollamaError as error:
                log.warning("model %s is left out: %s", name.short, error)
        return sorted(models.values(), key=lambda model: model.modified_at, reverse=True)

    def _look_up(self, name: Name) -> StoredModel | None:
        if found := self._tree.find(name):
            try:
                return self._load(found)
            except StoreError:
                if self._tree.find(name):  # else it was deleted just now
                    raise
        shipped = self._shipped(name)
        return shipped.model if shipped else None

    def _shipped(self, name: Name) -> Builtin | None:
        """The built-in model, if it has this name."""
        return self._builtin if self._builtin and self._builtin.name.key == name.key else None

    def _load(self, name: Name) -> StoredModel:
        path = self._tree.path(name)
        with disk_errors("read", path):
            status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._known.get(name)
        if known and known[0] == stamp:
            model = known[1]
            if missing_files(model.manifest, self.blobs) == model.missing:
                return model
        modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
        try:
            model = read_model(name, self._tree.read(name), modified_at, self.blobs)
        except BlobNotFound as error:
            raise _incomplete(name, error.message) from error
        self._known[name] = stamp, model
        return model

    # --- changing -------------------------------------------------------------------------------

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; what had that name before is replaced."""
        old = _name(source, f'source "{source}" is invalid')
        new = _name(destination, f'destination "{destination}" is invalid')
        with self._lock.changing(), self.blobs.pinned() as pins:
            if found := self._tree.find(old):
                data = self._tree.read(found)
                for layer in parse_manifest(data).blobs:
                    self.blobs.require(layer.digest)
            elif shipped := self._shipped(old):
                data = shipped.store_in(self.blobs, pins)
            else:
                raise ModelNotFound(f'model "{source}" not found', model=old.short)
            self._write(self._tree.spell(new), data)

    def delete(self, text: str) -> None:
        """Delete a model, and the blobs that no other model needs."""
        name = _name(text, f'name "{text}" is invalid')
        with self._lock.changing():
            found = self._tree.find(name)
            if found is None:
                if self._shipped(name):
                    raise InvalidRequest(
                        f"model '{text}' ships with the program and cannot be deleted",
                        hint="set PYOLLAMA_BUILTIN=0 to hide it",
                    )
                raise ModelNotFound(f"model '{text}' not found", model=name.short)
            before = self._digests(found)
            self._tree.delete(found)
            self._known.pop(found, None)
            self._collect(before)

    def create(self, request: CreateRequest) -> Generator[Progress, None, None]:
        """Make a model. Errors of the request itself come before the first step."""
        name = Name.parse(request.model)
        check_request(request)
        base_name = None
        if request.base and not request.remote_host:
            base_name = Name.parse(_local(request.base))
        with self._lock.using(), self.blobs.pinned() as pins:
            build = Build(request, self.blobs, pins, self._tools)
            try:
                base = None
                if base_name is not None:
                    base = yield from self._base(base_name, request.base, build)
                manifest = yield from build.steps(base)
                yield Progress("writing manifest")
                self._commit(name, format_manifest(manifest), manifest)
            finally:
                pins.release()
                self._collect(build.made)  # all of it after a failure, else what was in between
        yield Progress("success")

    def spelled(self, name: Name) -> Name:
        """``name`` with the spelling that names in the store have already."""
        return self._tree.spell(name)

    def take_in(
        self, name: Name, fetch: Callable[[Pins], Generator[Progress, None, bytes]]
    ) -> Generator[Progress, None, None]:
        """Store a model from elsewhere: ``fetch`` brings its blobs and returns its manifest.

        The manifest is stored byte for byte. Blobs that came stay even if the rest fails.
        """
        with self._lock.using(), self.blobs.pinned() as pins:
            data = yield from fetch(pins)
            manifest = parse_manifest(data)
            yield Progress("writing manifest")
            kept = {layer.digest for layer in manifest.blobs}
            replaced = self._digests(self._tree.spell(name)) - kept
            self._commit(name, data, manifest)
            if any(not self.blobs.has(digest) for digest in replaced):
                yield Progress("removing unused layers")

    def assembled(self, request: CreateRequest, pins: Pins) -> Generator[Progress, None, Manifest]:
        """A model made of files as by :meth:`create`, but for writing its manifest."""
        check_request(request)
        return (yield from Build(request, self.blobs, pins, self._tools).steps(None))

    def discard(self, digests: Iterable[str]) -> None:
        """Delete those of ``digests`` that no model needs."""
        self._collect(set(digests))

    @contextmanager
    def keeping(self, text: str) -> Iterator[tuple[Name, bytes]]:
        """The name and the manifest of a model, whose blobs stay to the end of ``with``."""
        name = Name.parse(_local(text))
        with self._lock.using(), self.blobs.pinned() as pins:
            found = self._tree.find(name)
            if found is None:
                raise ModelNotFound(f"model '{text}' not found", model=name.short)
            data = self._tree.read(found)
            pins.add(layer.digest for layer in parse_manifest(data).blobs)
            yield found, data

    def prune(self) -> None:
        """Delete what earlier runs left behind; done once, at the start.

        What is damaged, and whatever is in the way, is in the log, and everything else works.
        """
        for finding in missing(self._tree, self.blobs):
            log.warning("%s: %s (%s)", finding.subject, finding.problem, ", ".join(finding.models))
        if self._keep_unused or not self.root.is_dir():
            return
        try:
            deleted = self.tidy()
        except StoreError as error:
            log.warning("the store was not tidied up: %s", error)
        else:
            if deleted:
                log.info("deleted %d unused files", len(deleted))

    def tidy(self) -> Sequence[Path]:
        """Delete what no model needs and is older than the grace; the files that are gone."""
        with self._lock.changing(), self._lock.alone() as alone:
            if not alone:
                raise StoreError("another process is making or fetching a model")
            return gc.prune(self._tree, self.blobs)

    def unneeded(self) -> Sequence[Path]:
        """What :meth:`tidy` would delete now."""
        return gc.unneeded(self._tree, self.blobs, gc.horizon())

    def verify(self) -> Iterator[Finding | Progress]:
        """Check everything on disk; see :func:`pyollama.store.verify.verify`."""
        return verify(self._tree, self.blobs)

    # --- from machine to machine ----------------------------------------------------------------

    def export(self, models: Iterable[str], out: IO[bytes]) -> Iterator[Progress]:
        """Write a bundle of ``models``; errors of names come before anything is written."""
        found = {}
        for text in models:
            name = _name(text, f'name "{text}" is invalid')
            there = self._tree.find(name)
            if there is None:
                raise ModelNotFound(f"model '{text}' not found", model=name.short)
            found[there] = self._tree.read(there)
        return write_bundle(list(found.items()), self.blobs, out)

    def import_bundle(self, source: IO[bytes]) -> Generator[Progress, None, None]:
        """Take in the models of a bundle; those of the same names are replaced.

        The manifests are written when all of the bundle has turned out to be sound.
        """
        with self._lock.using(), self.blobs.pinned() as pins:
            made: set[str] = set()
            done = False
            try:
                contents = yield from read_bundle(source, self.blobs, pins, made)
                for name, data, manifest in contents.models:
                    yield Progress(f"writing manifest of {name.short}")
                    self._commit(name, data, manifest)
                done = True
            finally:
                pins.release()
                if not done:
                    self._collect(made)
        yield Progress("success")

    def _base(self, name: Name, text: str, build: Build) -> Generator[Progress, None, StoredModel]:
        if self._tree.find(name) is None:
            if shipped := self._shipped(name):
                build.made |= shipped.missing_in(self.blobs)
                shipped.store_in(self.blobs, build.pins)
                return shipped.model
            if self._tools.pull is not None:
                yield from self._tools.pull(text)
        return self.resolve(text)

    def _commit(self, name: Name, data: bytes, manifest: Manifest) -> None:
        """Write the manifest ``data``, whose blobs have to be there."""
        with self._lock.changing():
            for layer in manifest.blobs:
                self.blobs.require(layer.digest)
            self._write(self._tree.spell(name), data)

    def _write(self, name: Name, data: bytes) -> None:
        """Write a manifest and delete the blobs that only its predecessor needed."""
        before = self._digests(name)
        self._tree.write(name, data)
        self._collect(before)

    def _digests(self, name: Name) -> set[str]:
        try:
            data = self._tree.read(name)
            return {layer.digest for layer in parse_manifest(data).blobs}
        except StoreError:  # there is none, or a broken one that is about to be replaced
            return set()

    def _collect(self, digests: set[str]) -> None:
        """Delete those of ``digests`` that nothing needs now. What cannot go yet goes later."""
        if not digests or self._keep_unused:
            return
        try:
            with self._lock.changing(), self._lock.alone() as alone:
                if alone:
                    gc.collect(digests, self._tree, self.blobs)
                else:
                    log.info(
                        "unused blobs stay until the next start: another process may need them"
                    )
        except StoreError as error:
            log.warning("unused blobs stay: %s", error)


def _incomplete(name: Name, problem: str) -> StoreError:
    return StoreError(
        f"model '{name.short}' is incomplete: {problem}", hint="pull or create the model again"
    )


def _local(text: str) -> str:
    """``text`` without a suffix that asks for what the store is anyway."""
    name, source = split_source(text)
    return name if source == "local" else text.strip()


def _name(text: str, complaint: str) -> Name:
    try:
        return Name.parse(text)
    except InvalidName as error:
        raise InvalidName(complaint) from error
