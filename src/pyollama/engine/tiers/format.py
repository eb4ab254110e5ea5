"""A piece as a file: checked for damage, and for belonging where it is looked for.

Layout, little-endian: magic with the version (8 bytes), CRC-32 of all that follows (4), key of the
piece (20), key of its parent (20), position of its first token (4), number of tokens (4), size of
the state (8); then, as they are in memory, the tokens (4 each) and the state.

The key is a digest of parent, position and tokens, and through the parents of model and layout, so
a file of anything else never has the right one. The CRC finds damage, not malice: files are as
trustworthy as the folder they lie in. It is the fastest checksum of the standard library (1.4 GB/s
where SHA-256 does 0.8 and BLAKE2b 0.3), and what the binding makes of a state has another one.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from pyollama.engine.prefix import token_array
from pyollama.engine.tiers.pieces import KEY_BYTES, Piece, piece

MAGIC = b"PYOLKVP1"
_HEAD = struct.Struct(f"<8sI{KEY_BYTES}s{KEY_BYTES}sIIQ")
_UNCHECKED = len(MAGIC) + 4
_MOST_TOKENS = 1 << 24

HEAD_BYTES = _HEAD.size


class Damaged(ValueError):
    """This is no sound file of the piece that was asked for."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says about itself, unchecked."""

    checksum: int
    key: bytes
    parent: bytes
    start: int
    count: int
    state_bytes: int

    @property
    def tokens_end(self) -> int:
        """Where in the file the state begins."""
        return HEAD_BYTES + self.count * 4

    @property
    def file_bytes(self) -> int:
        return self.tokens_end + self.state_bytes


def file_bytes(piece: Piece, state_bytes: int) -> int:
    """How large the file of a piece is."""
    return HEAD_BYTES + len(piece.tokens) * 4 + state_bytes


def encode(piece: Piece, state: bytes | memoryview) -> bytes:
    """What comes before the state in a file."""
    head = _HEAD.pack(MAGIC, 0, piece.key, piece.parent, piece.start, len(piece.tokens), len(state))
    rest = head[_UNCHECKED:] + piece.tokens.tobytes()
    checksum = zlib.crc32(state, zlib.crc32(rest))
    return MAGIC + struct.pack("<I", checksum) + rest


def read_head(data: bytes | memoryview) -> Head:
    """The first ``HEAD_BYTES`` bytes of a file."""
    if len(data) < HEAD_BYTES:
        raise Damaged("the file is cut off")
    magic, *fields = _HEAD.unpack_from(data)
    head = Head(*fields)
    if magic != MAGIC:
        raise Damaged("the file is of another kind or version")
    if not 0 < head.count <= _MOST_TOKENS:
        raise Damaged("the file holds no tokens")
    return head


def read_piece(data: bytes | memoryview) -> Piece:
    """The piece that a file is about; ``data`` are its first bytes, all tokens among them.

    The key proves the tokens, but nothing is known about the state.
    """
    head = read_head(data)
    if len(data) < head.tokens_end:
        raise Damaged("the file is cut off")
    tokens = token_array()
    tokens.frombytes(data[HEAD_BYTES : head.tokens_end])
    found = piece(head.parent, head.start, tokens)
    if found.key != head.key:
        raise Damaged("the tokens are not those of the key")
    return found


def read_state(wanted: Piece, data: memoryview) -> memoryview:
    """The state of ``wanted`` out of a whole file."""
    head = read_head(data)
    if head.file_bytes != len(data):
        raise Damaged("the file is cut off, or too long")
    if zlib.crc32(data[_UNCHECKED:]) != head.checksum:
        raise Damaged("the checksum does not fit")
    if read_piece(data) != wanted:
        raise Damaged("the file is of another piece")
    return data[head.tokens_end :]
