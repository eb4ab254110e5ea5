"""``pyollama create``"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pyollama.cli.arguments import exactly
from pyollama.cli.connection import connect
from pyollama.cli.main import Command
from pyollama.cli.model_files import model_files, parts_of
from pyollama.cli.progress import ProgressDisplay
from pyollama.client import Client
from pyollama.config import parse_address
from pyollama.errors import InvalidName, PyollamaError
from pyollama.store.modelfile import Modelfile, parse_modelfile
from pyollama.store.name import Name

JSON = dict[str, Any]
_CHUNK = 1 << 20
_DEFAULT = "Modelfile"


@click.command("create", cls=Command, usage="MODEL")
@click.argument("arguments", nargs=-1)
@click.option(
    "-f", "--file", "path", default=_DEFAULT, help='Modelfile to create from (default "Modelfile")'
)
@click.option("-q", "--quantize", help="Quantize to this type (for example Q4_K_M)")
@click.option("--experimental", is_flag=True, help="Make a model for MLX (not supported)")
@click.option("--draft-quantize", help="Quantize the DRAFT model to this type")
def command(
    arguments: tuple[str, ...],
    path: str,
    quantize: str | None,
    draft_quantize: str | None,
    experimental: bool,
) -> None:
    """Create a model from a Modelfile

    Files that the Modelfile names are uploaded first, those the server holds already are not.
    Without a Modelfile the model files of the current folder are taken.
    """
    (model,) = exactly(1, arguments)
    if experimental:
        raise PyollamaError("--experimental makes models for MLX, which this program does not run")
    try:
        Name.parse(model)
    except InvalidName as error:
        raise InvalidName(f"invalid model name: {model}") from error
    modelfile, folder = _read(Path(path))
    for name in modelfile.deprecated_parameters:
        click.echo(f"warning: parameter {name} is deprecated")
    body = _request(modelfile) | {"model": model}
    draft = modelfile.last("draft")
    if draft_quantize and not draft:
        raise PyollamaError("--draft-quantize requires a DRAFT model")
    asked = {"quantize": quantize, "draft_quantize": draft_quantize}
    body |= {key: value for key, value in asked.items() if value is not None}
    with connect() as client, ProgressDisplay() as display:
        uploads = _Uploads(client, folder, display)
        body |= uploads.sources(modelfile.sources)
        if adapter := modelfile.last("adapter"):
            body["adapters"] = uploads.named(adapter)
        if draft:
            body["draft_files"] = uploads.draft(draft, modelfile.sources)
        for progress in client.create(body):
            display.show(progress)


def _read(path: Path) -> tuple[Modelfile, Path]:
    """The Modelfile and the folder its paths are relative to."""
    try:
        return parse_modelfile(path.read_bytes()), path.parent
    except FileNotFoundError as error:
        if path == Path(_DEFAULT):
            return parse_modelfile(b"FROM ."), path.parent
        raise PyollamaError(f"no Modelfile at {path}", hint="name one with --file PATH") from error
    except OSError as error:
        raise PyollamaError(f"cannot read {path}: {error.strerror}") from error


def _request(modelfile: Modelfile) -> JSON:
    """The body of ``/api/create``, but for the files."""
    body: JSON = {}
    for name in ("template", "system", "renderer", "parser"):
        if values := modelfile.all(name):
            body[name] = values[-1]
    if modelfile.requires:
        body["requires"] = modelfile.requires
    if licenses := modelfile.all("license"):
        body["license"] = list(licenses)
    if parameters := modelfile.parameters:
        body["parameters"] = parameters
    if messages := modelfile.messages:
        body["messages"] = [{"role": role, "content": text} for role, text in messages]
    return body


class _Uploads:
    """Turns what a Modelfile names into blobs on the server."""

    def __init__(self, client: Client, folder: Path, display: ProgressDisplay) -> None:
        self._client = client
        self._folder = folder
        self._display = display
        self._is_here = parse_address(client.base_url).is_local

    def sources(self, names: tuple[str, ...]) -> JSON:
        """``files`` for local files, ``from`` for the name of a model."""
        found = [self._local(name) for name in names]
        if not any(found):
            return {"from": names[-1]}
        files: JSON = {}
        for name, path in zip(names, found, strict=True):
            if path is None:
                raise PyollamaError(
                    f"FROM {name}: no such file",
                    hint="several FROM lines must all name files",
                )
            files |= self._upload(path)
        return {"files": files}

    def named(self, name: str) -> dict[str, str]:
        """A file that must exist: its digest by its name."""
        path = self._local(name)
        if path is None:
            raise PyollamaError(f"no such file: {name}")
        return self._upload(path)

    def draft(self, name: str, sources: tuple[str, ...]) -> dict[str, str]:
        """The same for a draft model, which cannot be the model itself."""
        paths = [self._local(source) for source in sources]
        if (path := self._local(name)) and path in paths:
            raise PyollamaError(f"DRAFT must not reference the same local path as FROM: {name}")
        return self.named(name)

    def _local(self, name: str) -> Path | None:
        path = self._folder / Path(name).expanduser()
        return path if path.exists() else None

    def _upload(self, path: Path) -> dict[str, str]:
        if path.is_file():
            return {part.name: self._push(part) for part in parts_of(path)}
        return {name: self._push(child) for name, child in model_files(path).items()}

    def _push(self, path: Path) -> str:
        self._display.show({"status": "gathering model components"})
        with path.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        known = self._client.has_blob(digest)
        if not known and not (self._is_here and self._client.offer_file(digest, path)):
            self._client.push_blob(digest, self._chunks(path, digest))
        return digest

    def _chunks(self, path: Path, digest: str) -> Iterator[bytes]:
        total, completed = path.stat().st_size, 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
                completed += len(chunk)
                status = f"copying file {digest} {100 * completed // max(total, 1)}%"
                self._display.show({"status": status})
