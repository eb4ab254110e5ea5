"""The ``pyollama`` command: finds the sub-command, turns errors into one line and exit status 1."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from inspect import cleandoc
from types import MappingProxyType
from typing import Any

import click

from pyollama.errors import PyollamaError

PROGRAM = "pyollama"

# Command -> (module in this package, one line of help). The modules are imported when called.
_COMMANDS = {
    "serve": ("serve", "Start the server"),
    "create": ("create", "Create a model from a Modelfile"),
    "show": ("show", "Show what is known of a model"),
    "run": ("run", "Run a model"),
    "stop": ("stop", "Unload a running model"),
    "pull": ("pull", "Pull a model from a registry"),
    "push": ("push", "Push a model to a registry"),
    "signin": ("signin", "Explain how to sign in to a registry"),
    "signout": ("signout", "Explain that nobody is signed in"),
    "list": ("list", "List models"),
    "ps": ("ps", "List running models"),
    "cp": ("cp", "Copy a model"),
    "rm": ("rm", "Remove a model"),
    "load": ("load", "Load a model into memory"),
    "tokenize": ("tokenize", "Show the tokens of a text"),
    "embed": ("embed", "Turn texts into embeddings"),
    "doctor": ("doctor", "Check that everything is in place"),
    "store": ("store", "Check, tidy up and carry the models on disk"),
    "bench": ("bench", "Measure how fast a model is"),
}
_ALIASES = {"start": "serve", "ls": "list"}
_HIDDEN_ALIASES = {"login": "signin", "logout": "signout"}


_HOST = """Environment Variables:
  OLLAMA_HOST  Address of the server (default 127.0.0.1:11434)
"""
_KINDS = {"TEXT": "string", "INTEGER": "int", "FLOAT": "float"}


class _Help(click.Command):
    """Help texts laid out as Ollama's: each part under a heading of its own."""

    usage = ""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_text(cleandoc(self.help or ""))
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        aliases = [alias for alias, name in _ALIASES.items() if name == self.name]
        if aliases:
            formatter.write(f"\nAliases:\n  {', '.join((self.name or '', *aliases))}\n")
        self.format_options(ctx, formatter)
        if self.epilog:
            formatter.write(f"\n{self.epilog}")

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        words = filter(None, (ctx.command_path, self.usage, "[flags]"))
        formatter.write(f"Usage:\n  {' '.join(words)}\n")
        if isinstance(self, click.Group):
            formatter.write(f"  {ctx.command_path} [command]\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        options.sort(key=lambda option: max(option.opts, key=len))
        records = (option.get_help_record(ctx) for option in options)
        with formatter.section("Flags"):
            formatter.write_dl([(_flag(names), text) for names, text in filter(None, records)])


def _flag(names: str) -> str:
    """Long names below each other, and the kinds of values in Ollama's words."""
    words = [_KINDS.get(word, word) for word in names.split(" ") if word != "BOOLEAN"]
    return (
        f"{'' if names.startswith('-') and not names.startswith('--') else '    '}{' '.join(words)}"
    )


class Command(_Help):
    """A command with the usage line ``pyollama NAME USAGE [flags]``.

    Its environment variables stand in ``epilog``; most commands have just the server's address.
    ``bare`` are flags that may stand without a value, and the value they then have. Such a flag
    takes one only behind ``=``, so that ``--think MODEL`` does not swallow the model.
    """

    def __init__(
        self,
        *args: Any,
        usage: str = "",
        bare: Mapping[str, str] = MappingProxyType({}),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        kwargs.setdefault("epilog", _HOST)
        super().__init__(*args, **kwargs)
        self.usage = usage
        self._bare = bare

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spelled = [f"{arg}={self._bare[arg]}" if arg in self._bare else arg for arg in args]
        return super().parse_args(ctx, spelled)


class Group(_Help, click.Group):
    """A command that has commands of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


class Root(_Help, click.Group):
    """Loads a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, "help"]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "help":
            return _help
        known = _COMMANDS.get({**_ALIASES, **_HIDDEN_ALIASES}.get(name, name))
        if known is None:
            return None
        command = import_module(f"pyollama.cli.{known[0]}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.NoSuchOption(args[0])
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            raise click.UsageError(_unknown_command(args[0]))
        return command.name if command else None, command, args[1:]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in _COMMANDS.items()]
        with formatter.section("Available Commands"):
            formatter.write_dl([*rows, ("help", "Help about any command")])


def _unknown_command(name: str) -> str:
    from difflib import get_close_matches

    text = f'unknown command "{name}" for "{PROGRAM}"'
    close = get_close_matches(name, [*_COMMANDS, *_ALIASES])
    if close:
        text += "\n\nDid you mean this?\n" + "".join(f"\t{word}\n" for word in close)
    return text


@click.group(
    cls=Root, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("-v", "--version", is_flag=True, help="Show version information")
@click.pass_context
def root(ctx: click.Context, version: bool) -> None:
    """Large language model runner"""
    if version:
        from pyollama.cli.version import show_version

        show_version()
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@click.command("help", cls=Command, usage="[command]", epilog="")
@click.argument("names", nargs=-1)
@click.pass_context
def _help(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Help about any command"""
    parent = ctx.find_root()
    if not names:
        click.echo(parent.get_help())
        return
    _, command, _ = root.resolve_command(parent, [names[0]])
    if command is not None:
        click.echo(command.get_help(click.Context(command, parent, names[0])))


def _words(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        if name.startswith("--"):
            return f"unknown flag: {name}"
        return f"unknown shorthand flag: '{name[1:2]}' in {name}"
    return error.format_message()


def main() -> None:
    """Entry point: exit status 0, or 1 with ``Error: ...`` on stderr."""
    try:
        root.main(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        _fail(_words(error))
    except PyollamaError as error:
        _fail(f"{error.message}\n{error.hint}".rstrip())
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`pyollama list | head -1`): nobody left to tell.
        sys.stderr.close()
        sys.exit(1)


def _fail(message: str) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)
