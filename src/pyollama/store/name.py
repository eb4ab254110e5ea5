"""Model names: ``[scheme://]host/namespace/model:tag``, read from right to left.

Names compare without regard to case, but keep the spelling they were given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pyollama.errors import InvalidName, InvalidRequest

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
FILE_HOST = "file"
"""The host in the names of models that are files outside of the store."""

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_TAG = _MODEL
_DIGEST = re.compile(r"(.+)@sha256[:-]([0-9a-fA-F]{64})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Name:
    """A complete and valid model name. :meth:`parse` is the only way in for text."""

    host: str
    namespace: str
    model: str
    tag: str

    def __post_init__(self) -> None:
        parts = ((_HOST, self.host), (_NAMESPACE, self.namespace), (_MODEL, self.model))
        if not all(rule.fullmatch(part) for rule, part in (*parts, (_TAG, self.tag))):
            raise InvalidName("invalid model name", name=f"{self}")

    @classmethod
    def parse(cls, text: str) -> Name:
        """The name that ``text`` spells, missing parts filled in; ``scheme://`` is dropped.

        A separator needs something on both sides of it.
        """
        rest, tag = text, DEFAULT_TAG
        colon = rest.rfind(":")
        if colon > rest.rfind("/"):
            rest, tag = rest[:colon], rest[colon + 1 :]
        host, namespace = DEFAULT_HOST, DEFAULT_NAMESPACE
        rest, slash, model = rest.rpartition("/")
        if slash:
            rest, slash, namespace = rest.rpartition("/")
        if slash:
            host = rest.rpartition("://")[2]
        return cls(host, namespace, model, tag)

    @property
    def short(self) -> str:
        """The form shown to users: default host and namespace left out, the tag always there."""
        if self.host != DEFAULT_HOST:
            return str(self)
        if self.namespace != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    def __str__(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Host, namespace, model and tag; also the path below the folder of manifests."""
        return (self.host, self.namespace, self.model, self.tag)

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for names that differ in case only."""
        return tuple(part.lower() for part in self.parts)


def split_digest(text: str) -> tuple[str, str]:
    """``text`` without ``@sha256:<64 hex digits>`` at its end, and those digits in lower case."""
    found = _DIGEST.fullmatch(text)
    return (found[1], found[2].lower()) if found else (text, "")


Source = Literal["", "cloud", "local"]


def split_source(text: str) -> tuple[str, Source]:
    """``text`` without the suffix that says where the model has to run, and that place.

    ``:cloud``, or ``-cloud`` at the end of a tag, means a remote server; ``:local`` means never
    one. Both at once is an error.
    """
    text = text.strip()
    name, source = _cut_source(text)
    other = _cut_source(name)[1]
    if source and other and source != other:
        raise InvalidRequest(f'use either :local or :cloud, not both: "{text}"', field="model")
    return name, source


def _cut_source(text: str) -> tuple[str, Source]:
    head, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return text, ""
    match tag.lower():
        case "cloud":
            return head, "cloud"
        case "local":
            return head, "local"
        case lowered if lowered.endswith("-cloud"):
            return text[: -len("-cloud")], "cloud"
    return text, ""
