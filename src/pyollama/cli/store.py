"""``pyollama store``: work on the folder of models itself, which needs no server."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import click
import msgspec

from pyollama.cli.arguments import at_least, exactly
from pyollama.cli.formats import size
from pyollama.cli.main import Command, Group
from pyollama.cli.progress import ProgressDisplay
from pyollama.compose import open_store
from pyollama.config import Settings
from pyollama.errors import PyollamaError
from pyollama.types import Progress

_VARIABLES = """Environment Variables:
  OLLAMA_MODELS  Folder of the model store (default ~/.ollama/models)
"""


@click.group("store", cls=Group)
def command() -> None:
    """Check, tidy up and carry the models on disk

    The folder is that of OLLAMA_MODELS, on this machine.
    """


@command.command("verify", cls=Command, epilog=_VARIABLES)
def verify() -> None:
    """Read all blobs and say which are damaged, and which models need them

    The exit status is 1 if anything is.
    """
    sound, unused, damaged = [], [], 0
    with ProgressDisplay() as display:
        for found in open_store(Settings.load()).verify():
            if isinstance(found, Progress):
                _show(display, found)
            elif found.problem:
                damaged += 1
                others = [model for model in found.models if model != found.subject]
                needed = f" (needed by {', '.join(others)})" if others else ""
                click.echo(f"{found.subject}: {found.problem}{needed}")
            else:
                sound.append(found.size)
                if not found.models:
                    unused.append(found.size)
    click.echo(f"{len(sound)} blobs are sound ({size(sum(sound))})")
    if unused:
        click.echo(f"of no model: {len(unused)} ({size(sum(unused))})")
    if damaged:
        click.echo(f"{damaged} problems: remove the models that need it, then pull or create them")
        sys.exit(1)


@command.command("prune", cls=Command, epilog=_VARIABLES)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be deleted")
def prune(dry_run: bool) -> None:
    """Delete what no model needs

    That is what a server does when it starts: blobs without a model, temporary files and partial
    downloads, all of them only when they have not been written for an hour.
    """
    store = open_store(Settings.load())
    sizes = {path: path.lstat().st_size for path in store.unneeded()}
    gone = tuple(sizes) if dry_run else store.tidy()
    for path in gone:
        click.echo(f"{path} ({size(sizes.get(path, 0))})")
    total = size(sum(sizes.get(path, 0) for path in gone))
    click.echo(f"{'would delete' if dry_run else 'deleted'} {len(gone)} files ({total})")


@command.command("export", cls=Command, epilog=_VARIABLES, usage="MODEL [MODEL...]")
@click.argument("arguments", nargs=-1)
@click.option("-o", "--output", required=True, help='The file to write, "-" for standard output')
def export(arguments: tuple[str, ...], output: str) -> None:
    """Write models into one file, to carry them to another machine"""
    models = at_least(1, arguments)
    store = open_store(Settings.load())
    with _output(output) as file, ProgressDisplay() as display:
        for progress in store.export(models, file):
            _show(display, progress)


@command.command("import", cls=Command, epilog=_VARIABLES, usage="FILE")
@click.argument("arguments", nargs=-1)
def import_(arguments: tuple[str, ...]) -> None:
    """Take in the models of a file that export wrote, "-" for standard input"""
    (source,) = exactly(1, arguments)
    store = open_store(Settings.load())
    with _input(source) as file, ProgressDisplay() as display:
        for progress in store.import_bundle(file):
            _show(display, progress)


def _show(display: ProgressDisplay, progress: Progress) -> None:
    display.show(msgspec.to_builtins(progress))


@contextmanager
def _output(name: str) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is complete."""
    if name == "-":
        if sys.stdout.isatty():
            raise click.UsageError("models are not written to a terminal")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(name)
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise PyollamaError(f"cannot write {name}: {error.strerror}") from error


@contextmanager
def _input(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(name).open("rb") as file:
            yield file
    except OSError as error:
        raise PyollamaError(f"cannot read {name}: {error.strerror}") from error
