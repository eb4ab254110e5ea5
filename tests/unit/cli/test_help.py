"""What the help texts say, and in which order."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from pyollama.cli.main import root


def _help(*arguments: str) -> str:
    return CliRunner().invoke(root, [*arguments, "--help"], prog_name="pyollama").output


def test_parts_of_a_help_text() -> None:
    assert _help("list") == (
        "List models\n\nOnly those whose name begins with the first argument, if there is one.\n\n"
        "Usage:\n  pyollama list [flags]\n\nAliases:\n  list, ls\n\n"
        "Flags:\n  -h, --help  Show this message and exit.\n\n"
        "Environment Variables:\n  OLLAMA_HOST  Address of the server (default 127.0.0.1:11434)\n"
    )


def test_flags_are_sorted_and_say_their_kinds() -> None:
    lines = _help("create").partition("Flags:\n")[2].splitlines()
    assert [re.split(r"(?<=\w)  +", line)[0] for line in lines[:5]] == [
        "      --draft-quantize string",
        "      --experimental",
        "  -f, --file string",
        "  -h, --help",
        "  -q, --quantize string",
    ]


def test_commands_within_commands() -> None:
    assert "Usage:\n  pyollama [flags]\n  pyollama [command]\n" in _help()
    assert "Usage:\n  pyollama store verify [flags]\n" in _help("store", "verify")
    assert "OLLAMA_MODELS" in _help("store", "verify")
    assert "OLLAMA_HOST" not in _help("store", "verify")


@pytest.mark.parametrize("name", root.list_commands(click.Context(root)))
def test_every_command_has_help(name: str) -> None:
    assert f"  pyollama {name} " in _help(name)
