"""Every reader of bytes that somebody else wrote, as a function to fuzz.

Each takes any bytes. It lets nothing escape but what its reader promises to raise, and checks
what must hold of an answer. It knows nothing of the fuzzer, so the tests replay findings with it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
from tests.fuzz.choices import Choices
from tests.fuzz.hostile import template_data
from tests.fuzz.shapes import GGUFShape, json_of, template_of

from pyollama.chat.functions import FUNCTIONS
from pyollama.chat.gotemplate import Limits, Template
from pyollama.chat.gotemplates import GoTemplate
from pyollama.durations import LONGEST, format_duration, parse_duration
from pyollama.errors import (
    EngineError,
    InvalidGGUF,
    InvalidManifest,
    InvalidName,
    InvalidRequest,
    StoreError,
    TemplateError,
)
from pyollama.server.body import decode_body
from pyollama.server.ollama import convert, schemas
from pyollama.server.openai import convert as openai_convert
from pyollama.server.openai import schemas as openai_schemas
from pyollama.service.demanded import calls_schema
from pyollama.store import manifest as media
from pyollama.store.blobs import Blobs
from pyollama.store.digest import is_digest
from pyollama.store.gguf import GGUFArray, read_gguf
from pyollama.store.layers import media_type
from pyollama.store.manifest import MANIFEST_TYPE, format_manifest, parse_manifest
from pyollama.store.model import read_model
from pyollama.store.model_config import ModelConfig, format_config, parse_config
from pyollama.store.modelfile import format_modelfile, parse_modelfile
from pyollama.store.name import Name, split_source
from pyollama.store.show import file_info
from pyollama.worker import wire


def names(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        rest, _ = split_source(text)
        name = Name.parse(rest)
    except (InvalidName, InvalidRequest):
        return
    assert Name.parse(str(name)) == name
    assert Name.parse(name.short) == name
    for part in name.parts:
        assert part.isascii() and part not in ("", ".", "..")
        assert not set(part) & set("/\\\0\n")


def durations(data: bytes) -> None:
    try:
        value = parse_duration(data.decode("utf-8", "replace"))
    except ValueError:
        return
    assert -LONGEST <= value <= LONGEST
    assert parse_duration(format_duration(value)) == value


def modelfile(data: bytes) -> None:
    try:
        parsed = parse_modelfile(data)
    except InvalidRequest:
        return
    with suppress(InvalidRequest):
        assert isinstance(parsed.parameters, dict)
    with suppress(InvalidRequest):
        assert isinstance(parsed.requires, str)
    if not any('"' in item.value for item in parsed.instructions):
        again = parse_modelfile(format_modelfile(parsed.instructions))
        assert again.instructions == parsed.instructions


def gguf(data: bytes) -> None:
    choices = Choices(data)
    raw = choices.rest() if choices.flag() else GGUFShape(choices).build()
    file = os.memfd_create("gguf")
    try:
        os.write(file, raw)
        _read_gguf(Path(f"/proc/self/fd/{file}"), len(raw))
    finally:
        os.close(file)


def _read_gguf(path: Path, size: int) -> None:
    try:
        header = read_gguf(path)
        for value in header.metadata.values():
            if isinstance(value, GGUFArray):
                assert len(value.values()) == value.length
        info = file_info(path, verbose=True)
    except InvalidGGUF:
        return
    assert all(0 < tensor.offset <= size - tensor.size for tensor in header.tensors)
    assert header.parameter_count >= len(header.tensors)
    assert media_type(header) and isinstance(header.file_type, str)
    msgspec.json.encode((info.metadata, info.tensors))


_MANIFEST_KEYS = ("schemaVersion", "mediaType", "config", "layers", "digest", "size", "from", "x")


def manifest(data: bytes) -> None:
    choices = Choices(data)
    raw = choices.rest() if choices.flag() else json_of(choices, _MANIFEST_KEYS)
    try:
        parsed = parse_manifest(raw)
    except InvalidManifest:
        return
    assert all(is_digest(layer.digest) and layer.size >= 0 for layer in parsed.blobs)
    assert parsed.size == sum(layer.size for layer in parsed.blobs)
    assert parse_manifest(format_manifest(parsed)) == parsed


@cache
def _blobs() -> tuple[Blobs, str]:
    """A store with one blob, which every layer of a model refers to."""
    folder = tempfile.TemporaryDirectory()
    blobs = Blobs(Path(folder.name))
    _KEPT.append(folder)
    digest, _ = blobs.put(b"{}")
    return blobs, digest


_KEPT: list[object] = []
_MODEL_NAME = Name.parse("m")


_CONFIG_KEYS = (*ModelConfig.__struct_fields__, "role", "content", "stop", "num_ctx")
_KINDS = (media.PARAMS, media.MESSAGES, media.TEMPLATE, media.SYSTEM, media.LICENSE)


def config(data: bytes) -> None:
    """The same bytes as the config of a model and as one of its small layers."""
    choices = Choices(data)
    blobs, digest = _blobs()
    kind = choices.pick(_KINDS)
    raw = choices.rest() if choices.flag() else json_of(choices, _CONFIG_KEYS)
    blobs.path(digest).write_bytes(raw)
    layer = {"mediaType": kind, "digest": digest, "size": 1}
    whole = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [layer]}
    encoded = msgspec.json.encode(whole | {"config": layer})
    try:
        model = read_model(_MODEL_NAME, encoded, datetime.now(UTC), blobs)
        assert parse_config(format_config(model.config)) == model.config
    except StoreError:
        return


def template(data: bytes) -> None:
    choices = Choices(data)
    text = template_of(choices) if choices.flag() else choices.rest().decode("utf-8", "replace")
    try:
        GoTemplate.parse(text)
        output = Template.parse(text, FUNCTIONS).execute(template_data(), Limits(20_000, 200_000))
    except TemplateError as error:
        error.message.encode()
        return
    assert len(output) <= 200_000
    output.encode()


_BODIES: Sequence[tuple[type[msgspec.Struct], Callable[..., object]]] = (
    (schemas.Chat, convert.chat),
    (schemas.Generate, convert.completion),
    (schemas.Embed, convert.embedding),
    (schemas.Embeddings, convert.old_embedding),
    (schemas.Create, convert.creation),
    (schemas.Show, lambda body: body.wanted),
    (schemas.Copy, lambda body: body.source + body.destination),
    (openai_schemas.ChatCompletion, openai_convert.chat),
    (openai_schemas.Completion, openai_convert.completions),
    (openai_schemas.Embeddings, openai_convert.embeddings),
)
_BODY_KEYS = (
    *(field for schema, _ in _BODIES for field in schema.__struct_fields__),
    *("role", "content", "images", "tool_calls", "function", "arguments", "name", "description"),
    *("type", "properties", "items", "anyOf", "required", "enum", "$defs", "from", "KEEP_ALIVE"),
    *("text", "image_url", "url", "input_audio", "data", "schema", "json_schema", "$ref", "effort"),
)
_WITH_TOOLS = "{{ range .Messages }}{{ .Role }}{{ .Content }}{{ json .ToolCalls }}{{ end }}"
_TOOL_TEMPLATE = GoTemplate.parse(
    _WITH_TOOLS + "{{ range .Tools }}{{ . }}{{ json .Function.Parameters }}"
    "{{ range .Function.Parameters.Properties }}{{ toTypeScriptType . }}{{ end }}{{ end }}"
)


def body(data: bytes) -> None:
    choices = Choices(data)
    schema, converted = choices.pick(_BODIES)
    raw = choices.rest() if choices.flag() else json_of(choices, _BODY_KEYS)
    try:
        decoded = decode_body(raw, schema)
        msgspec.json.encode(decoded)
        request = converted(decoded)
        if schema is schemas.Chat:
            chat = convert.chat(decoded)  # type: ignore[arg-type]
            _TOOL_TEMPLATE.render(chat.messages, chat.tools, chat.think).encode()
        if schema is openai_schemas.ChatCompletion:
            tools = openai_convert.chat(decoded)[0].tools  # type: ignore[arg-type]
            msgspec.json.encode(calls_schema(tools))
    except (InvalidRequest, TemplateError):
        return
    assert request is not None


def frames(data: bytes) -> None:
    choices = Choices(data)
    decode = choices.pick((wire.decode_to_worker, wire.decode_from_worker))
    width = 1 + choices.number(256)
    stream = choices.rest()
    cut = [stream[start : start + width] for start in range(0, len(stream), width)]
    whole, pieces = wire.FrameReader(1 << 20), wire.FrameReader(1 << 20)
    try:
        bodies = whole.feed(stream)
        assert [bytes(b) for piece in cut for b in pieces.feed(piece)] == [*map(bytes, bodies)]
    except EngineError:
        return
    for found in bodies:
        with suppress(*wire.UNREADABLE):
            wire.encode(decode(found))
