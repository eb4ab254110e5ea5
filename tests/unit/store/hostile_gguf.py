"""GGUF files made to do harm, one class of it each, and what is said about them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

U8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10
Q8_0 = 8
MAX64, HALF64 = (1 << 64) - 1, 1 << 63


class Hostile(NamedTuple):
    """``padding`` zero bytes follow ``data``; they are a hole in the file."""

    name: str
    data: bytes
    message: str
    padding: int = 0


def pack(layout: str, *values: float) -> bytes:
    return struct.pack("<" + layout, *values)


def text(raw: bytes | str, length: int | None = None) -> bytes:
    """A text, which claims to have another ``length`` if one is given."""
    data = raw.encode() if isinstance(raw, str) else raw
    return pack("Q", len(data) if length is None else length) + data


def field(key: bytes | str, kind: int, payload: bytes) -> bytes:
    return text(key) + pack("I", kind) + payload


def array(key: str, kind: int, length: int, payload: bytes = b"") -> bytes:
    return field(key, ARRAY, pack("IQ", kind, length) + payload)


def tensor(
    name: bytes | str = "w", shape: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0
) -> bytes:
    dimensions = pack(f"I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + pack("IQ", kind, offset)


def file(*parts: bytes, keys: int = 0, tensors: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + pack("IQQ", version, tensors, keys) + b"".join(parts)


def fields(*parts: bytes) -> bytes:
    return file(*parts, keys=len(parts))


def tensors(*parts: bytes, room: int = 4096) -> bytes:
    return file(*parts, tensors=len(parts)) + bytes(room)


def hostile_files() -> Iterator[Hostile]:
    yield from _heads()
    yield from _texts()
    yield from _arrays()
    yield from _alignments()
    yield from _tables()
    yield from _places()


def _heads() -> Iterator[Hostile]:
    yield Hostile("empty", b"", "ends too early")
    yield Hostile("half a magic", b"GG", "ends too early")
    yield Hostile("another magic", b"GGML" + bytes(60), "not a GGUF")
    yield Hostile("nothing but the magic", b"GGUF", "ends too early")
    yield Hostile("no counts", b"GGUF" + pack("I", 3), "ends too early")
    yield Hostile("version 0", file(version=0), "version 0 is not supported")
    yield Hostile("version 4", file(version=4), "version 4 is not supported")
    yield Hostile("version of the largest number", file(version=0xFFFFFFFF), "is not supported")
    yield Hostile("swapped version of none", b"GGUF" + pack("I", 9 << 24) + bytes(16), "version 9")
    big = b"GGUF" + struct.pack(">I", 3) + pack("QQ", 1, 1) + bytes(64)
    yield Hostile("version big-endian, counts little-endian", big, "claims 72057594037927936")
    yield Hostile("too many tensors", file(tensors=(1 << 18) + 1), "claims 262145 tensors")
    yield Hostile("negative number of tensors", file(tensors=HALF64), "claims 9223372036854775808")
    yield Hostile("too many keys", file(keys=MAX64), "claims 18446744073709551615 metadata keys")
    yield Hostile("more keys than there are", file(field("a", U8, b"\1"), keys=60000), "too early")
    yield Hostile("more tensors than there are", file(tensor(), tensors=200000), "too early")
    old = b"GGUF" + pack("III", 1, 0xFFFFFFFF, 0)
    yield Hostile("too many tensors in version 1", old, "claims 4294967295 tensors")


def _texts() -> Iterator[Hostile]:
    yield Hostile("key longer than any", file(text(b"a", 1 << 40), keys=1), "claims 1099511627776")
    yield Hostile("key that wraps around", file(text(b"a", MAX64), keys=1), "claims 1844674407370")
    yield Hostile("key longer than the file", file(text(b"a", 60000), keys=1), "ends too early")
    yield Hostile("key without a name", fields(field("", U8, b"\1")), "without a name")
    yield Hostile("key that is no UTF-8", fields(field(b"\xff\xfe", U8, b"\1")), "not UTF-8")
    yield Hostile("key twice", fields(field("k", U8, b"\1"), field("k", U8, b"\2")), "'k' twice")
    yield Hostile("value of a type of none", fields(field("k", 13, bytes(8))), "unknown type 13")
    yield Hostile(
        "value of type -1", fields(field("k", 0xFFFFFFFF, b"")), "unknown type 4294967295"
    )
    yield Hostile("value cut off", fields(field("k", U64, bytes(3))), "ends too early")
    yield Hostile("no type", file(text("k"), keys=1), "ends too early")
    huge = fields(field("k", STRING, text(b"a", HALF64)))
    yield Hostile("text of half the numbers", huge, "claims 9223372036854775808 bytes")
    yield Hostile(
        "text longer than any", fields(field("k", STRING, text(b"", 1 << 24))), "16777216"
    )
    beyond = fields(field("k", STRING, text(b"abc", 1 << 20)))
    yield Hostile("text longer than the file", beyond, "ends too early")
    long = field("a", STRING, pack("Q", 1 << 23)) + bytes(1 << 23)
    many = file(long, long.replace(b"a", b"b"), long.replace(b"a", b"c"), keys=3)
    yield Hostile("more text than is read", many, "claims 8388608 bytes for a text")


def _arrays() -> Iterator[Hostile]:
    inner = pack("IQ", U8, 1) + b"\1"
    yield Hostile("array of arrays", fields(array("k", ARRAY, 1, inner)), "unsupported type 9")
    deep = b"".join(pack("IQ", ARRAY, 1) for _ in range(100_000))
    yield Hostile("arrays a hundred thousand deep", fields(field("k", ARRAY, deep)), "type 9")
    yield Hostile("array of a type of none", fields(array("k", 99, 1, bytes(8))), "type 99")
    yield Hostile("array of more than any", fields(array("k", U8, 1 << 40)), "claims 1099511627776")
    wrapping = fields(array("k", U64, 1 << 61, bytes(64)))
    yield Hostile("array whose size wraps to zero", wrapping, "claims 2305843009213693952")
    yield Hostile(
        "array of negative length", fields(array("k", U32, HALF64)), "claims 922337203685"
    )
    yield Hostile("array longer than the file", fields(array("k", U64, 1 << 20)), "ends too early")
    liar = text("abc") + text("def", 1 << 50) + text("ghi") * 100
    yield Hostile(
        "one text of an array lies", fields(array("k", STRING, 102, liar)), "112589990684"
    )
    short = fields(array("k", STRING, 1 << 20, text("token") * 500))
    yield Hostile("array of fewer texts", short, "ends too early")
    backwards = fields(array("k", STRING, 300, (text("a" * 20) * 299) + text("", MAX64)))
    yield Hostile("text that leads backwards", backwards, "claims 18446744073709551615 bytes")
    half = pack("IQ", U8, 1 << 21) + bytes(1 << 21)
    more = [field(name, ARRAY, half) for name in "abc"]
    yield Hostile("more elements than are read", fields(*more), "claims 2097152 elements")
    hole = fields(array("k", STRING, 1 << 22))
    yield Hostile("millions of empty texts", hole + text("", MAX64), "", padding=1 << 24)


def _alignments() -> Iterator[Hostile]:
    for name, value in (("0", 0), ("24", 24), ("2 GB", 1 << 31)):
        data = fields(field("general.alignment", U32, pack("I", value)))
        yield Hostile(f"alignment {name}", data, "not a power of two")
    data = fields(field("general.alignment", F32, pack("f", 32)))
    yield Hostile("alignment that is a fraction", data, "not a power of two")
    data = fields(field("general.alignment", STRING, text("32")))
    yield Hostile("alignment that is a text", data, "not a power of two")
    data = fields(field("general.alignment", BOOL, b"\1"))
    yield Hostile("alignment that is true", data, "not a power of two")


def _tables() -> Iterator[Hostile]:
    yield Hostile("tensor name longer than any", tensors(tensor(b"w" * 2000)), "claims 2000 bytes")
    yield Hostile("tensor name beyond the file", tensors(text("w", 900), room=0), "ends too early")
    yield Hostile("tensor name that is no UTF-8", tensors(tensor(b"\xc3")), "not UTF-8")
    twice = tensors(tensor("w"), tensor("w", offset=32))
    yield Hostile("tensor twice", twice, "two tensors of the same name")
    yield Hostile("tensor without dimensions", tensors(tensor(shape=())), "0 dimensions")
    yield Hostile("tensor of five dimensions", tensors(tensor(shape=(1,) * 5)), "5 dimensions")
    endless = tensors(text("w") + pack("I", 0xFFFFFFFF))
    yield Hostile("tensor of endless dimensions", endless, "4294967295 dimensions")
    yield Hostile("tensor of nothing", tensors(tensor(shape=(8, 0))), "impossible shape")
    yield Hostile("negative dimension", tensors(tensor(shape=(HALF64,))), "impossible shape")
    wraps = tensors(tensor(shape=(1 << 32, 1 << 32)))
    yield Hostile("elements that wrap to zero", wraps, "impossible shape")
    wraps = tensors(tensor(shape=((1 << 62) + 8,)))
    yield Hostile("bytes that wrap around", wraps, "exceeds file size")
    yield Hostile(
        "row of half a block", tensors(tensor(shape=(31,), kind=Q8_0)), "impossible shape"
    )
    yield Hostile("tensor of a type of none", tensors(tensor(kind=99)), "unknown type 99")
    yield Hostile("tensor of a removed type", tensors(tensor(kind=5)), "unknown type 5")
    yield Hostile("tensor of type -1", tensors(tensor(kind=0xFFFFFFFF)), "unknown type 4294967295")


def _places() -> Iterator[Hostile]:
    yield Hostile("tensor between the lines", tensors(tensor(offset=8)), "not aligned")
    yield Hostile("tensor behind the file", tensors(tensor(offset=1 << 20)), "exceeds file size")
    yield Hostile("offset that wraps", tensors(tensor(offset=(1 << 64) - 32)), "exceeds file size")
    yield Hostile("tensor half in the file", tensors(tensor(shape=(2048,))), "exceeds file size")
    yield Hostile("no content at all", tensors(tensor(), room=0), "exceeds file size")
    same = tensors(tensor("a"), tensor("b"))
    yield Hostile("two tensors in one place", same, '"a" and "b" overlap')
    inside = tensors(tensor("a", (64,)), tensor("b", offset=32))
    yield Hostile("tensor inside another", inside, '"a" and "b" overlap')
