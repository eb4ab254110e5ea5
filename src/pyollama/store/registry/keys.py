"""The key pair that tells a registry who asks: ``~/.ollama/id_ed25519``, as Ollama keeps it.

An Ed25519 key in OpenSSH's format without a passphrase, and its public line in ``….pub``.
"""

from __future__ import annotations

import base64
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from pyollama.errors import StoreError
from pyollama.store.files import disk_errors, make_folder, read_file

FILE_NAME = "id_ed25519"
_MAX_BYTES = 64 << 10


class Key:
    """A private key that can sign. It is never shown: ``repr`` gives the public half."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    def __repr__(self) -> str:
        return f"Key({self.public_line})"

    @property
    def public_line(self) -> str:
        """``ssh-ed25519 <base64>``, as it stands in the ``.pub`` file."""
        public = self._private.public_key()
        return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")

    def sign(self, data: bytes) -> str:
        """``<base64 of the public key>:<base64 of the signature>``, an ``Authorization`` value."""
        signature = base64.b64encode(self._private.sign(data)).decode("ascii")
        return f"{self.public_line.split(' ')[1]}:{signature}"


def load_key(folder: Path) -> Key:
    """The key in ``folder``, made at the first call. Safe when several processes make one."""
    path = folder / FILE_NAME
    with suppress(FileNotFoundError):
        return _read(path)
    _create(path)
    return _read(path)


def _read(path: Path) -> Key:
    if not os.path.lexists(path):
        raise FileNotFoundError(path)
    data = read_file(path, _MAX_BYTES)
    try:
        private = load_ssh_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The reasons of the library may quote the file, so they are not repeated.
        raise _unusable(path) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _unusable(path)
    return Key(private)


def _create(path: Path) -> None:
    """Write a new key pair, unless another process is quicker: its key counts then."""
    private = Ed25519PrivateKey.generate()
    data = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with disk_errors("write", path):
        make_folder(path.parent)
        with suppress(FileExistsError):
            _write_new(path, data, 0o600)
            public = path.with_suffix(".pub")
            public.unlink(missing_ok=True)
            _write_new(public, f"{Key(private).public_line}\n".encode("ascii"), 0o644)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """The whole file under its name at once, with these permissions from the first byte on."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink()


def _unusable(path: Path) -> StoreError:
    return StoreError(
        f"{path} is not an Ed25519 key in OpenSSH's format without a passphrase",
        hint="move it away; a new one is made at the next transfer",
    )
