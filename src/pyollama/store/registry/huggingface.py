"""Models straight from repositories on Hugging Face.

Hugging Face also speaks the protocol of registries, and is asked that way first, because its
manifests bring templates and parameters along. It has none for weights in several files, and no
access for tokens there; then the repository is listed and its files are fetched as they are. See
https://huggingface.co/docs/hub/api for the paths.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from pyollama.errors import AccessDenied, ConfigError, ModelNotFound, RegistryError, StoreError
from pyollama.store import manifest as media
from pyollama.store.blobs import Pins
from pyollama.store.manifest import Layer, Manifest, format_manifest
from pyollama.store.model_config import MAX_BYTES, format_config, parse_config
from pyollama.store.name import Name
from pyollama.store.registry.address import Network, Registry, joined, origin_of
from pyollama.store.registry.auth import Sign
from pyollama.store.registry.huggingface_files import (
    MAX_FILES,
    RepositoryFile,
    choose,
    parse_listing,
)
from pyollama.store.registry.remote import RedirectedBlob, RegistryModel, RemoteBlob
from pyollama.store.registry.session import Session, closing
from pyollama.store.store import Store
from pyollama.types import CreateRequest, Progress

HOSTS = ("hf.co", "huggingface.co")
_HOME = "https://huggingface.co"

_MAX_PAGE = 16 << 20
_MAX_PAGES = 1_000
_MAX_TEXT = 1 << 20
_TOKEN = re.compile(r"[\x21-\x7e]{1,1024}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Hub:
    """Where Hugging Face is, and who asks. ``endpoint`` is set where a mirror stands in for it.

    The token goes to that one place, over TLS unless the mirror is a plain one.
    """

    endpoint: str = ""
    token: str = field(default="", repr=False)

    def has(self, name: Name) -> bool:
        """Whether ``name`` is that of a repository there."""
        return name.host.lower() in HOSTS

    def open_registry(self, network: Network, sign: Sign, name: Name) -> RegistryModel:
        """The model ``name`` as the protocol of registries has it; close its session."""
        place = self._place(f"https://{name.host.lower()}")
        return RegistryModel(Session(place, network, sign, bearer=self.bearer), name)

    def open(self, network: Network, sign: Sign, name: Name, store: Store) -> Repository:
        """The repository of ``name``; close its session."""
        session = Session(self._place(_HOME), network, sign, bearer=self.bearer)
        return Repository(session, name, store)

    @property
    def bearer(self) -> str | None:
        """The token; :class:`ConfigError` if it cannot be one."""
        if self.token and not _TOKEN.fullmatch(self.token):
            raise ConfigError("HF_TOKEN is set to something that is no token: correct or unset it")
        return self.token or None

    def _place(self, default: str) -> Registry:
        base = self.endpoint.rstrip("/")
        return Registry(base or default, trusted=bool(base), plain=base.startswith("http:"))


class _Branch(msgspec.Struct):
    name: str
    targetCommit: str


class _References(msgspec.Struct):
    branches: list[_Branch]


class Repository:
    """The model ``name`` in its repository, a :class:`~pyollama.store.registry.remote.Remote`.

    What is fetched are the files as they are; ``store`` makes a model of them.
    """

    def __init__(self, session: Session, name: Name, store: Store) -> None:
        self.session = session
        self.room = 0
        self.leftovers: frozenset[str] = frozenset()
        self._name = name
        self._store = store
        self._base = session.registry.base
        self._path = f"{name.namespace}/{name.model}"
        self._commit = ""
        self._files: dict[str, RepositoryFile] = {}
        self._texts: dict[str, RepositoryFile] = {}
        self._sources: tuple[str, ...] = ()
        self._known = b""

    def layers(self) -> Sequence[Layer]:
        """The files that the name's tag means, of the state that the repository has now.

        None if they are those that the model in the store was made of. Raises
        :class:`RegistryError` if the repository cannot be seen, :class:`ModelNotFound` if it has
        no such files.
        """
        try:
            self._commit = self._head()
            choice = choose(self._listing(), self._name.tag)
            self._check_access(choice.files[0])
        except ModelNotFound as error:
            raise ModelNotFound(f"{self._name}: {error.message}", model=str(self._name)) from error
        except RegistryError as error:
            raise _explained(error, self._name) from error
        self._files = {file.digest: file for file in choice.files}
        self._texts = dict(choice.texts)
        if len(choice.weights.files) > 1:
            self._sources = tuple(self._files)
            self._known = self._made_before()
            if self._known:
                return ()
            self.room = sum(file.size for file in choice.weights.files)
            self.leftovers = frozenset(file.digest for file in choice.weights.files)
        return [Layer(media.MODEL, file.digest, file.size) for file in choice.files]

    def blob(self, digest: str) -> RemoteBlob:
        return RedirectedBlob(self.session, self._url(self._files[digest]))

    def manifest(self, pins: Pins) -> Generator[Progress, None, bytes]:
        """The model that the files make, with what the small files say about it."""
        if self._known:
            return self._known
        files = {file.path: digest for digest, file in self._files.items()}
        request = CreateRequest(model=str(self._name), files=files, **self._changes())
        made = yield from self._store.assembled(request, pins)
        if self._sources:
            made = self._with_sources(made, pins)
        return format_manifest(made)

    def _made_before(self) -> bytes:
        """The manifest in the store, if that model was made of the same files."""
        name = str(self._name)
        with suppress(ModelNotFound, StoreError):
            if self._store.resolve(name).config.sources == self._sources:
                with self._store.keeping(name) as (_, data):
                    return data
        return b""

    def _with_sources(self, made: Manifest, pins: Pins) -> Manifest:
        config = parse_config(self._store.blobs.read(made.config.digest, MAX_BYTES))
        config = msgspec.structs.replace(config, sources=self._sources)
        data = format_config(config)
        digest, _ = self._store.blobs.put(data)
        pins.add([digest])
        self.leftovers |= {made.config.digest}
        return msgspec.structs.replace(made, config=Layer(media.CONFIG_TYPE, digest, len(data)))

    def _changes(self) -> dict[str, Any]:
        """What the small files say: ``template``, ``system``, ``parameters``."""
        found: dict[str, Any] = {}
        for name, file in self._texts.items():
            text = self.session.fetch("GET", self._url(file), limit=_MAX_TEXT)[1]
            try:
                if name == "params":
                    found["parameters"] = msgspec.json.decode(text, type=dict[str, Any])
                else:
                    found[name] = text.decode()
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise StoreError(f"the repository's file {name!r} is not valid: {error}") from error
        return found

    def _head(self) -> str:
        """The commit at the tip of the main branch."""
        url = f"{self._base}/api/models/{self._path}/refs"
        body = self.session.fetch("GET", url, limit=_MAX_PAGE)[1]
        try:
            branches = msgspec.json.decode(body, type=_References).branches
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RegistryError(f"the repository's branches are not valid: {error}") from error
        for branch in branches:
            if branch.name == "main" and _COMMIT.fullmatch(branch.targetCommit):
                return branch.targetCommit
        raise RegistryError("the repository has no branch 'main'")

    def _listing(self) -> list[RepositoryFile]:
        """The whole listing, which comes in pages."""
        found: list[RepositoryFile] = []
        url = f"{self._base}/api/models/{self._path}/tree/{self._commit}?recursive=true"
        for _ in range(_MAX_PAGES):
            response, page = self.session.fetch("GET", url, limit=_MAX_PAGE)
            found += parse_listing(page)
            url = self._next_page(response)
            if not url:
                return found
            if len(found) > MAX_FILES:
                break
        raise StoreError(f"the repository has more than {MAX_FILES} files")

    def _check_access(self, file: RepositoryFile) -> None:
        """A gated repository can be listed by everybody, but not read."""
        with closing(self.session.send("HEAD", self._url(file), follow=False)) as response:
            self.session.check(response)

    def _next_page(self, response: httpx.Response) -> str:
        place = response.links.get("next", {}).get("url", "")
        if not place:
            return ""
        try:
            url = joined(response.request.url, place)
        except ValueError as error:
            raise RegistryError(
                "the list of files goes on at a place that is no address"
            ) from error
        if origin_of(url) != self.session.registry.origin:
            raise RegistryError("the list of files goes on at another host")
        return str(url)

    def _url(self, file: RepositoryFile) -> str:
        return f"{self._base}/{self._path}/resolve/{self._commit}/{quote(file.path)}"


def _explained(error: RegistryError, name: Name) -> RegistryError:
    """``error`` with what to do about it. Over HTTP only the message of an error arrives."""
    if not isinstance(error, AccessDenied) and error.details.get("status") not in (403, 404):
        return error
    message = (
        f"{error.message}: if {name.namespace}/{name.model} is private or gated, accept its terms"
        " on its page and give the server a token that may read it, in HF_TOKEN"
    )
    return type(error)(message, hint=error.hint, **error.details)
