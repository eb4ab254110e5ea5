"""Images and sounds that a prompt names by their path."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import click

from pyollama.errors import PyollamaError

MAX_BYTES = 100 << 20
_WORD = re.compile(r"(?:\\.|[^\s\\])+")
_BEGIN = re.compile(r"(?:[a-zA-Z]:)?(?:\./|/|\\)")
_END = re.compile(r"\.(?:jpe?g|png|webp|wav)\b", re.IGNORECASE)
_QUOTED = re.compile(r"'((?:\./|/)[^'\n]*\.(?:jpe?g|png|webp|wav))'", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(.)")
_SNIFFED = 12


def take_media(text: str) -> tuple[str, list[str]]:
    """``text`` without the paths of media that exist, and those files in base64.

    Paths may be written as a shell would want them, with backslashes before blanks, and in single
    quotes. A file that is no image or sound, too large or not readable is a
    :class:`PyollamaError`.
    """
    found = []
    for written in dict.fromkeys((*_QUOTED.findall(text), *_paths(text))):
        path = _existing(written)
        if path is None:
            continue
        data = _read(path)
        kind = "audio" if data.startswith(b"RIFF") and data[8:12] == b"WAVE" else "image"
        click.echo(f"Added {kind} '{path}'", err=True)
        found.append(base64.b64encode(data).decode())
        text = text.replace(f"'{written}'", "").replace(f"'{path}'", "").replace(written, "")
    return text.strip() if found else text, found


def names_media(text: str) -> bool:
    """Whether ``text`` begins with the path of a medium that exists."""
    written = next(_paths(text), "")
    return text.startswith(written) and _existing(written) is not None


def _paths(text: str) -> Iterator[str]:
    """What looks like the path of a medium, as it is written. Takes time that is linear."""
    for word in _WORD.finditer(text):
        position = word.start()
        while (begin := _BEGIN.search(text, position, word.end())) and (
            end := _END.search(text, begin.end(), word.end())
        ):
            yield text[begin.start() : end.end()]
            position = end.end()


def _existing(written: str) -> Path | None:
    for path in (Path(_ESCAPE.sub(r"\1", written)), Path(written)):
        try:
            if path.is_file():
                return path
        except (OSError, ValueError):  # a name that no disk can have
            continue
    return None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PyollamaError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise PyollamaError(f"{path}: file size exceeds maximum limit (100MB)")
    if not _is_medium(data[:_SNIFFED]):
        raise PyollamaError(
            f"{path}: invalid file type", hint="images are JPEG, PNG or WebP, sounds are WAV"
        )
    return data


def _is_medium(head: bytes) -> bool:
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        return True
    return head.startswith(b"RIFF") and head[8:12] in (b"WEBP", b"WAVE")
