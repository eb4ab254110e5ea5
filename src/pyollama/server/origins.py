"""Which browser origins may use the server (CORS)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pyollama.errors import ConfigError

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")
_APPS = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
_SCHEMES = (
    "http://",
    "https://",
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)


@dataclass(frozen=True, slots=True)
class Origins:
    """The allow list. ``everyone`` means that any origin may come, and is told ``*``."""

    everyone: bool
    exact: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def build(cls, extra: Iterable[str]) -> Origins:
        """Local pages and desktop shells are always allowed; ``extra`` comes from the settings.

        An entry is an origin, an origin with one ``*`` in it, or a regular expression between
        slashes. ``*`` alone allows everybody.
        """
        everyone = False
        exact: set[str] = set()
        patterns: list[re.Pattern[str]] = []
        for entry in (*extra, *_defaults()):
            if entry == "*":
                everyone = True
            elif len(entry) > 1 and entry.startswith("/") and entry.endswith("/"):
                patterns.append(_expression(entry[1:-1]))
            elif "*" in entry:
                patterns.append(_wildcard(entry))
            elif entry.startswith(_SCHEMES):
                exact.add(entry)
            else:
                raise _bad(entry, f"it must begin with one of {', '.join(_SCHEMES)}")
        return cls(everyone, frozenset(exact), tuple(patterns))

    def allow(self, origin: str) -> bool:
        return (
            self.everyone
            or origin in self.exact
            or any(pattern.fullmatch(origin) for pattern in self.patterns)
        )


def _defaults() -> Iterable[str]:
    for host in _LOCAL_HOSTS:
        for scheme in ("http", "https"):
            yield f"{scheme}://{host}"
            yield f"{scheme}://{host}:*"
    yield from _APPS


def _wildcard(entry: str) -> re.Pattern[str]:
    if entry.count("*") > 1:
        raise _bad(entry, "only one * is allowed")
    before, _, after = entry.partition("*")
    return re.compile(f"{re.escape(before)}.*{re.escape(after)}", re.DOTALL)


def _expression(source: str) -> re.Pattern[str]:
    try:
        return re.compile(f".*(?:{source}).*", re.DOTALL)
    except re.error as error:
        raise _bad(f"/{source}/", str(error)) from error


def _bad(entry: str, why: str) -> ConfigError:
    return ConfigError(
        f"OLLAMA_ORIGINS: {entry!r} cannot be used: {why}", variable="OLLAMA_ORIGINS"
    )
