"""The environment, read once into one frozen :class:`Settings`.

The variables and their grammar are Ollama's, so that an existing set-up keeps working;
``PYOLLAMA_*`` are our own. Values are trimmed of blanks and surrounding quotes, and an empty one
counts as unset. A value that cannot be used is a :class:`~pyollama.errors.ConfigError` that names
its variable.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pyollama.durations import SECOND, parse_duration
from pyollama.errors import ConfigError

DEFAULT_PORT = 11434
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?(?:([kmgt]?)(ib|i|b)?)", re.IGNORECASE | re.ASCII)
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens and clients connect. ``host`` carries no brackets."""

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = ""

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether a server at this address would run on this machine's loopback."""
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return self.host.lower() == "localhost"
        return address.is_loopback or address.is_unspecified

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


def _hf_home() -> Path:
    return Path.home() / ".cache" / "huggingface"


def _lm_studio() -> tuple[Path, ...]:
    """Where LM Studio keeps its models, and where older versions did."""
    return Path.home() / ".lmstudio" / "models", Path.home() / ".cache" / "lm-studio" / "models"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured. Times are seconds; negative means for ever.

    ``private_registries`` are hosts (``host`` or ``host:port``) that may have private addresses;
    ``registry_mirrors`` holds, by the host of a registry, base URLs that are asked before it.
    ``hf_endpoint`` stands in for Hugging Face, and ``hf_token`` is shown to that place alone.

    ``num_parallel``, ``context_length`` and ``max_loaded_models`` 0 and ``prefix_ram`` ``None``
    mean: decide by the machine. ``aliases`` are pairs of another name and what it stands for;
    ``files`` says who may name files of this machine as models (``None``: programs on it);
    ``hugging_face`` is the cache of that name, and ``lm_studio`` are folders of that program.
    ``prefix_ram`` and ``prefix_disk`` are the bytes of memory (of each model) and of disk (of all)
    that prefixes of prompts may take outside the KV cache.
    """

    address: Address = Address()
    models: Path = field(default_factory=lambda: Path.home() / ".ollama" / "models")
    builtin: bool = True
    keep_alive: float = 300.0
    load_timeout: float = 300.0
    context_length: int = 0
    num_parallel: int = 0
    max_loaded_models: int = 0
    max_queue: int = 512
    flash_attention: bool | None = None
    kv_cache_type: str = "f16"
    gpu_overhead: int = 0
    sched_spread: bool = False
    prefix_ram: int | None = None
    prefix_disk: int = 0
    prefix_dir: Path = field(default_factory=lambda: Path.home() / ".cache/pyollama/prefixes")
    go_template: bool | None = None
    origins: tuple[str, ...] = ()
    remotes: tuple[str, ...] = ("ollama.com",)
    aliases: tuple[tuple[str, str], ...] = ()
    files: bool | None = None
    hf_endpoint: str = ""
    hf_token: str = field(default="", repr=False)
    hugging_face: Path = field(default_factory=lambda: _hf_home() / "hub")
    lm_studio: tuple[Path, ...] = field(default_factory=_lm_studio)
    no_cloud: bool = False
    noprune: bool = False
    private_registries: tuple[str, ...] = ()
    registry_mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nohistory: bool = False
    editor: str = ""
    debug: int = 0

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Settings from ``env``, by default the process environment."""
        read = _Reader(os.environ if env is None else env)
        default = cls()
        return cls(
            address=read.address("OLLAMA_HOST"),
            models=read.path("OLLAMA_MODELS", default.models),
            builtin=read.boolean("PYOLLAMA_BUILTIN", default.builtin),
            keep_alive=read.seconds("OLLAMA_KEEP_ALIVE", default.keep_alive),
            load_timeout=read.seconds("OLLAMA_LOAD_TIMEOUT", default.load_timeout),
            context_length=read.count("OLLAMA_CONTEXT_LENGTH", default.context_length),
            num_parallel=read.count("OLLAMA_NUM_PARALLEL", default.num_parallel),
            max_loaded_models=read.count("OLLAMA_MAX_LOADED_MODELS", default.max_loaded_models),
            max_queue=read.count("OLLAMA_MAX_QUEUE", default.max_queue),
            flash_attention=read.switch("OLLAMA_FLASH_ATTENTION"),
            kv_cache_type=read.text("OLLAMA_KV_CACHE_TYPE", default.kv_cache_type).lower(),
            gpu_overhead=read.count("OLLAMA_GPU_OVERHEAD", default.gpu_overhead),
            sched_spread=read.boolean("OLLAMA_SCHED_SPREAD", default.sched_spread),
            prefix_ram=read.size("PYOLLAMA_PREFIX_RAM", default.prefix_ram),
            prefix_disk=read.size("PYOLLAMA_PREFIX_DISK", default.prefix_disk) or 0,
            prefix_dir=read.path("PYOLLAMA_PREFIX_DIR", default.prefix_dir),
            go_template=read.switch("OLLAMA_GO_TEMPLATE"),
            origins=read.items("OLLAMA_ORIGINS", default.origins),
            remotes=read.items("OLLAMA_REMOTES", default.remotes),
            aliases=read.pairs("PYOLLAMA_ALIASES"),
            files=read.switch("PYOLLAMA_FILES"),
            hf_endpoint=read.text("HF_ENDPOINT"),
            hf_token=read.text("HF_TOKEN"),
            hugging_face=read.path("HF_HUB_CACHE", read.path("HF_HOME", _hf_home()) / "hub"),
            no_cloud=read.boolean("OLLAMA_NO_CLOUD", default.no_cloud),
            noprune=read.boolean("OLLAMA_NOPRUNE", default.noprune),
            private_registries=read.items("PYOLLAMA_PRIVATE_REGISTRIES", ()),
            registry_mirrors=read.mirrors("PYOLLAMA_REGISTRY_MIRRORS"),
            nohistory=read.boolean("OLLAMA_NOHISTORY", default.nohistory),
            editor=read.text("OLLAMA_EDITOR", default.editor),
            debug=max(read.level("OLLAMA_DEBUG"), read.level("PYOLLAMA_DEBUG")),
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads single variables; every method returns the default when the variable is unset."""

    env: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        return self.env.get(name, "").strip().strip("\"'").strip() or default

    def path(self, name: str, default: Path) -> Path:
        value = self.text(name)
        return Path(value).expanduser() if value else default

    def items(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.text(name)
        return tuple(item.strip() for item in value.split(",") if item.strip()) or default

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """``this=that,this=that``"""
        found = []
        for item in self.items(name, ()):
            this, sign, that = (part.strip() for part in item.partition("="))
            if not (this and sign and that):
                raise _bad(name, item, "ALIAS=MODEL,ALIAS=MODEL")
            found.append((this, that))
        return tuple(found)

    def mirrors(self, name: str) -> dict[str, tuple[str, ...]]:
        """``host=url`` items; a host may have several mirrors, which are asked in turn."""
        found: dict[str, tuple[str, ...]] = {}
        for item in self.items(name, ()):
            host, _, url = item.partition("=")
            if not host or not url.startswith(("http://", "https://")):
                raise _bad(name, item, "host=https://mirror, several separated by commas")
            found[host.lower()] = (*found.get(host.lower(), ()), url)
        return found

    def switch(self, name: str) -> bool | None:
        """Any text that is not one of Go's spellings of false counts as true."""
        value = self.text(name)
        return value not in _FALSE if value else None

    def boolean(self, name: str, default: bool) -> bool:
        value = self.switch(name)
        return default if value is None else value

    def count(self, name: str, default: int) -> int:
        value = self.text(name)
        if not value:
            return default
        if not (value.isascii() and value.isdigit()):
            raise _bad(name, value, "a whole number, 0 or more")
        return int(value)

    def size(self, name: str, default: int | None) -> int | None:
        """Bytes: ``GB`` counts in thousands, ``GiB`` and a bare ``G`` in steps of 1024."""
        value = self.text(name)
        if not value:
            return default
        parsed = _SIZE.fullmatch(value)
        if parsed is None:
            raise _bad(name, value, "a number of bytes such as 500MB, 2GiB or 0")
        number, unit, kind = parsed.groups("")
        step = 1000 if kind in ("b", "B") else 1024
        return int(float(number) * step ** (" kmgt".index(unit.lower() or " ")))

    def level(self, name: str) -> int:
        """0 is normal, 1 debug, 2 and more trace; ``true`` is 1."""
        value = self.text(name)
        return int(value) if value.isascii() and value.isdigit() else int(bool(self.switch(name)))

    def seconds(self, name: str, default: float) -> float:
        value = self.text(name)
        if not value:
            return default
        try:
            return float(int(value))
        except ValueError:
            pass
        try:
            return parse_duration(value) / SECOND
        except ValueError as error:
            raise _bad(name, value, "seconds or a duration such as 5m") from error

    def address(self, name: str) -> Address:
        value = self.text(name)
        try:
            return parse_address(value)
        except ValueError as error:
            raise _bad(name, value, f"[scheme://]host[:port][/path] ({error})") from error


def parse_address(text: str) -> Address:
    """``[scheme://]host[:port][/path]``; what is missing is filled in.

    Without a scheme the port defaults to 11434, with ``http`` to 80 and with ``https`` to 443.
    """
    if text == "ollama.com":
        return Address("https", text, 443)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    if scheme not in ("http", "https"):
        raise ValueError(f"unknown scheme {scheme!r}")
    netloc, _, path = rest.partition("/")
    host, port = _split_port(netloc)
    implied = DEFAULT_PORT if not separator else 443 if scheme == "https" else 80
    return Address(scheme, host or "127.0.0.1", _port(port, implied), f"/{path}" if path else "")


def _split_port(netloc: str) -> tuple[str, str]:
    if netloc.startswith("["):
        host, bracket, rest = netloc[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"unbalanced brackets in {netloc!r}")
        return str(ipaddress.IPv6Address(host)), rest[1:]
    if netloc.count(":") > 1:
        return str(ipaddress.IPv6Address(netloc)), ""
    host, _, port = netloc.partition(":")
    return host, port


def _port(text: str, implied: int) -> int:
    if not text:
        return implied
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _bad(name: str, value: str, wanted: str) -> ConfigError:
    return ConfigError(
        f"{name}={value!r} cannot be used: it must be {wanted}",
        hint=f"correct or unset {name}",
        variable=name,
    )
