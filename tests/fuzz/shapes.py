"""GGUF files and templates made of a fuzzer's bytes, sound in most places but not in all."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tests.fuzz.choices import Choices

_LIES = (0, 1, 2, 255, 1 << 16, 1 << 22, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40)
_WIDE_LIES = (*_LIES, (1 << 63) - 1, 1 << 63, (1 << 64) - 32, (1 << 64) - 1)
_KEYS = (
    b"general.architecture",
    b"general.alignment",
    b"general.file_type",
    b"general.type",
    b"general.name",
    b"llama.context_length",
    b"llama.block_count",
    b"llama.attention.head_count",
    b"tokenizer.ggml.tokens",
    b"tokenizer.ggml.merges",
    b"tokenizer.chat_template",
    b"clip.has_vision_encoder",
    b"adapter.type",
)
_TEXTS = (b"llama", b"clip", b"adapter", b"", b"\xff\xfe", b"x" * 300, b"\0" * 40, b"mmproj")
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_ALIGNMENTS = (32, 1, 8, 64, 4096, 0, 24, 1 << 30, 1 << 31)


class GGUFShape:
    """Writes one file; now and then a number in it is a lie."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._order = choices.pick("<<<>")
        self._version = choices.pick((3, 3, 2, 1, 3, 0, 4, 65535))
        self._parts: list[bytes] = []

    def build(self) -> bytes:
        choices = self._choices
        n_keys, n_tensors = choices.number(8), choices.number(6)
        self._parts = [choices.pick((b"GGUF", b"GGUF", b"GGUF", b"FUGG"))]
        self._pack("I", self._version)
        self._count(n_tensors)
        self._count(n_keys)
        for _ in range(n_keys):
            self._key()
        for _ in range(n_tensors):
            self._tensor()
        whole = b"".join(self._parts) + bytes(choices.number(4096))
        return whole[: choices.number(4096)] if choices.flag(16) else whole

    def _pack(self, layout: str, *values: int | float) -> None:
        self._parts.append(struct.pack(self._order + layout, *values))

    def _count(self, honest: int) -> None:
        """A count or a length in the width of the version."""
        lies = self._choices.flag(24)
        if self._version == 1:
            self._pack("I", self._choices.pick(_LIES[:-1]) if lies else honest)
        else:
            self._pack("Q", self._choices.pick(_WIDE_LIES) if lies else honest)

    def _text(self, raw: bytes) -> None:
        self._count(len(raw))
        self._parts.append(raw)

    def _key(self) -> None:
        choices = self._choices
        if choices.flag(8):
            self._text(choices.take(choices.number(16)))
        else:
            self._text(choices.pick(_KEYS))
        kind = choices.number(14)
        self._pack("I", kind if not choices.flag(32) else choices.pick(_LIES[:-1]))
        self._value(kind)

    def _value(self, kind: int) -> None:
        choices = self._choices
        if kind == _STRING:
            self._text(choices.pick(_TEXTS))
        elif kind == _ARRAY:
            self._array()
        elif kind == 4:
            self._pack("I", choices.pick(_ALIGNMENTS))
        elif kind in _SCALARS:
            width = _SCALARS[kind]
            self._parts.append(choices.take(width).ljust(width, b"\1"))

    def _array(self) -> None:
        choices = self._choices
        kind, count = choices.number(14), choices.number(200)
        self._pack("I", kind)
        self._count(count)
        for _ in range(count):
            if kind == _STRING:
                self._text(choices.pick(_TEXTS))
            elif kind in _SCALARS:
                self._parts.append(bytes(_SCALARS[kind]))

    def _tensor(self) -> None:
        choices = self._choices
        name = choices.pick((b"token_embd.weight", b"blk.0.attn_q.weight", b"a", b"b", b""))
        self._text(name)
        n_dimensions = choices.pick((1, 2, 3, 4, 1, 2, 0, 5))
        self._pack("I", n_dimensions)
        for _ in range(n_dimensions):
            self._count(choices.pick((32, 1, 256, 2, 64, 0, 31)))
        self._pack("I", choices.number(48))
        offset = choices.pick(_WIDE_LIES) if choices.flag(16) else choices.number(64) * 32
        self._pack("Q", offset)


_TOKENS = (
    *("{{", "}}", "{{ ", " }}", "{{- ", " -}}", " ", "\n", "|", "(", ")", ".", ",", ":=", "="),
    *("$", "$x", "$y", "$x := ", "$x = ", "$i, $v := ", "{{ end }}", "{{ else }}", "{{ break }}"),
    *("{{ if ", "{{ range ", "{{ with ", "{{ else if ", '{{ define "t" }}', '{{ template "t" . }}'),
    *('{{ block "b" . }}', "{{ continue }}", "{{/* c */}}", "nil", "true", '"text"', "`raw`"),
    *("'c'", "0", "1", "-7", "3", "100000", "9223372036854775807", "1.5", "1e300", "0x1p4", "1i"),
    *(".S", ".Long", ".I", ".Big", ".F", ".L", ".M", ".M.k", ".M.k.v", ".N", ".Deep", ".T", ".U"),
    *(".Messages", ".Role", ".Content", ".Tools", ".Thinking", ".ToolCalls", ".Function.Name"),
    *(" len ", " index ", " slice ", " printf ", " print ", " println ", " json ", " html "),
    *(" js ", " urlquery ", " call ", " eq ", " ne ", " lt ", " le ", " gt ", " ge ", " and "),
    *(" or ", " not ", '"%v"', '"%s%d"', '"%999999d"', '"%[3]*.[2]*[1]f"', '"%#x"', '"%U"', '"%q"'),
    *(" currentDate ", " toTypeScriptType ", "(print .Long .Long)", "<think>", "x", "\u00e9"),
)


def template_of(choices: Choices) -> str:
    """A template of likely pieces, with a few characters of its own between them."""
    parts: list[str] = []
    while choices.left and len(parts) < 400:
        place = choices.number(256)
        if place < len(_TOKENS):
            parts.append(_TOKENS[place])
        else:
            parts.append(choices.take(1).decode("latin-1"))
    return "".join(parts)


_SCALARS_OF_JSON = (
    *("null", "true", "0", "1", "-1", "1.5", "1e999", "-0.0", "9" * 40, "1" + "0" * 400, '""'),
    *(
        '"user"',
        '"5m"',
        '"-1"',
        '"high"',
        '"\\ud800"',
        '"\u00e9\\u0000"',
        '"aGk="',
        '"sha256:%s"' % ("a" * 64),
    ),
    *('"object"', '"string"', '"json"', '"' + "x" * 300 + '"', '"../x"', '"http://h"', "[]", "{}"),
)


def json_of(choices: Choices, keys: Sequence[str]) -> bytes:
    """A JSON object of likely keys, with values that are seldom what is expected."""
    return _object(choices, keys, 0).encode()


def _object(choices: Choices, keys: Sequence[str], depth: int) -> str:
    members = (
        f'"{choices.pick(keys)}":{_json(choices, keys, depth + 1)}'
        for _ in range(choices.number(6 if depth else 12))
    )
    return "{" + ",".join(members) + "}"


def _json(choices: Choices, keys: Sequence[str], depth: int) -> str:
    if not choices.left:
        return "null"
    if choices.flag(64):
        opening, closing = choices.pick((("[", "]"), (f'{{"{choices.pick(keys)}":', "}")))
        levels = choices.number(2000)
        return opening * levels + "1" + closing * levels
    kind = choices.number(8)
    if kind < 4 or depth > 8:
        return choices.pick(_SCALARS_OF_JSON)
    if kind < 6:
        items = (_json(choices, keys, depth + 1) for _ in range(choices.number(5)))
        return "[" + ",".join(items) + "]"
    return _object(choices, keys, depth)
