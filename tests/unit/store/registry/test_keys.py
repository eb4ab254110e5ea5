"""The user's key pair."""

from __future__ import annotations

import base64
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_public_key,
)

from pyollama.errors import StoreError
from pyollama.store.registry.keys import Key, load_key


def test_a_key_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".ollama"
    key = load_key(folder)
    private, public = folder / "id_ed25519", folder / "id_ed25519.pub"
    assert private.stat().st_mode & 0o777 == 0o600
    assert public.stat().st_mode & 0o777 == 0o644
    assert private.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert public.read_text() == f"{key.public_line}\n"
    assert load_key(folder).public_line == key.public_line
    assert {path.name for path in folder.iterdir()} == {"id_ed25519", "id_ed25519.pub"}


def test_ssh_understands_the_key(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    try:
        told = subprocess.run(
            ["ssh-keygen", "-y", "-f", tmp_path / "id_ed25519"], capture_output=True, check=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not there")
    assert told.decode().split()[:2] == key.public_line.split()


def test_a_signature_names_the_key_and_can_be_checked(tmp_path: Path) -> None:
    public, signature = load_key(tmp_path).sign(b"data").split(":")
    key = load_ssh_public_key(f"ssh-ed25519 {public}".encode())
    assert isinstance(key, Ed25519PublicKey)
    key.verify(base64.b64decode(signature), b"data")


def test_many_that_need_a_key_at_once_get_the_same(tmp_path: Path) -> None:
    found: list[Key] = []
    threads = [threading.Thread(target=lambda: found.append(load_key(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({key.public_line for key in found}) == 1
    assert (tmp_path / "id_ed25519.pub").read_text() == f"{found[0].public_line}\n"


def test_the_private_half_is_never_shown(tmp_path: Path) -> None:
    assert repr(load_key(tmp_path)).startswith("Key(ssh-ed25519 AAAA")


def another_kind() -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


@pytest.mark.parametrize("data", [b"", b"no key", another_kind()])
def test_what_is_no_key_is_an_error_and_stays(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "id_ed25519"
    path.write_bytes(data)
    with pytest.raises(StoreError, match="is not an Ed25519 key"):
        load_key(tmp_path)
    assert path.read_bytes() == data
