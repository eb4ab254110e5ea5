"""Models that are given to a command as a file or a folder."""

from __future__ import annotations

from pathlib import Path

from pyollama.client import Client
from pyollama.config import parse_address
from pyollama.errors import PyollamaError

_BEGINNINGS = ("/", "./", "../", "~")


def model_named(text: str, client: Client) -> str:
    """``text`` as the server understands it: paths are absolute there.

    What begins like a path is one, and so is the name of a GGUF file that exists.
    """
    path = Path(text).expanduser()
    is_file = text.lower().endswith(".gguf") and path.is_file()
    if not is_file and text not in (".", "..") and not text.startswith(_BEGINNINGS):
        return text
    if not path.exists():
        raise PyollamaError(f"{text}: no such file or folder")
    if not parse_address(client.base_url).is_local:
        raise PyollamaError(
            f"{text} is a file of this machine, and the server is {client.base_url}",
            hint="create a model of it there with 'pyollama create'",
        )
    return str(path.absolute())
