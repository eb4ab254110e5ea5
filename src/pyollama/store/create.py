"""Making a model: from GGUF files or from another model, with changes on top.

The steps come as a generator of :class:`Progress`. Whatever ends it early (an error, or closing
it) leaves no blob behind that was made for the model; the manifest is written last.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from pyollama.errors import InvalidRequest, StoreError, TemplateError
from pyollama.store import manifest as media
from pyollama.store.blobs import Blobs, Pins
from pyollama.store.create_checks import check_info, remote_url
from pyollama.store.digest import digest_of
from pyollama.store.gguf import GGUFHeader, is_gguf, read_gguf
from pyollama.store.importing import Converter, Importer, make_draft
from pyollama.store.layers import (
    Part,
    describe,
    existing,
    messages_bytes,
    params_bytes,
    status,
    text_bytes,
)
from pyollama.store.manifest import CONFIG_TYPE, Layer, Manifest
from pyollama.store.model import StoredModel
from pyollama.store.model_config import ModelConfig, format_config
from pyollama.store.name import Name
from pyollama.store.quantize import FULL_TYPES, Quantizer, quantized, source_type, target_type
from pyollama.store.texts import Texts
from pyollama.types import CreateRequest, Progress


class DetectedTemplate(NamedTuple):
    """A Go template that does what a file's Jinja template does."""

    name: str
    template: str
    parameters: Mapping[str, Any]


def _accept(template: str) -> None:
    """Stands for no check at all."""


def _detect_none(jinja: str) -> DetectedTemplate | None:
    """Stands for no known templates."""


@dataclass(frozen=True, slots=True)
class CreateTools:
    """What making a model needs from elsewhere.

    ``check_template`` raises :class:`TemplateError` for a Go template that does not parse;
    ``pull`` fetches a model that is not in the store.
    """

    check_template: Callable[[str], None] = _accept
    detect_template: Callable[[str], DetectedTemplate | None] = _detect_none
    quantize: Quantizer | None = None
    convert: Converter | None = None
    pull: Callable[[str], Iterator[Progress]] | None = None


# Families whose published files need more than a template.
_FAMILY_DEFAULTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gemma4": ("gemma4", {"stop": ["<turn|>"]}),
    "laguna": ("laguna", {}),
    "nemotron_h": ("nemotron-3-nano", {}),
    "nemotron_h_moe": ("nemotron-3-nano", {}),
    "nemotron_h_omni": ("nemotron-3-nano", {}),
}

_EMBEDDED = ("a.", "mm.", "mtp.", "s.", "v.")


@dataclass(slots=True)
class Build:
    """A model that is being made. ``made`` are the blobs that exist only because of it."""

    request: CreateRequest
    blobs: Blobs
    pins: Pins
    tools: CreateTools
    parts: list[Part] = field(default_factory=list)
    config: ModelConfig = field(default_factory=ModelConfig)
    made: set[str] = field(default_factory=set)

    def steps(self, base: StoredModel | None) -> Generator[Progress, None, Manifest]:
        """All there is to do but writing the manifest, which is returned.

        ``base`` is the model of that name, if the request names one that is not remote.
        """
        request = self.request
        quantize_to = target_type(request.quantize) if request.quantize else ""
        overrides = check_info(request.info)
        self._check_template()
        self._begin(base)
        if base is not None:
            self._take_over(base)
        elif request.files is not None and not request.base:
            yield from self._import_files(request.files, quantize_to)
        if request.adapters is not None and not request.remote_host:
            yield from self._import_adapters(request.adapters)
        if request.draft_files:
            yield from self._import_draft(request.draft_files)
        self.config = msgspec.structs.replace(self.config, **overrides)
        if quantize_to:
            yield from self._quantize(media.MODEL, quantize_to)
        headers = [(part.layer.media_type, part.header) for part in self.parts if part.header]
        main = [item for item in headers if item[0] != media.DRAFT]
        self.config = msgspec.structs.replace(self.config, **describe(self.config, main))
        self._apply_changes()
        config = self._put(CONFIG_TYPE, format_config(self.config))
        yield from (Progress(part.status) for part in self.parts)
        return Manifest(config.layer, tuple(part.layer for part in self.parts))

    def _check_template(self) -> None:
        if self.request.template:
            try:
                self.tools.check_template(self.request.template)
            except TemplateError as error:
                raise TemplateError(f"template error: {error.message}") from error

    # --- where the layers come from -------------------------------------------------------------

    def _begin(self, base: StoredModel | None) -> None:
        request = self.request
        parent = base.config if base else ModelConfig()
        self.config = ModelConfig(
            model_format=parent.model_format,
            renderer=request.renderer or parent.renderer,
            parser=request.parser or parent.parser,
            requires=request.requires or parent.requires,
            capabilities=parent.capabilities,
            draft=parent.draft,
        )
        if request.remote_host:
            self.config = msgspec.structs.replace(
                self.config,
                remote_host=remote_url(request.remote_host),
                remote_model=request.base,
            )

    def _take_over(self, base: StoredModel) -> None:
        """All layers of another model; those that came from it say so."""
        self.pins.add(layer.digest for layer in base.manifest.blobs)
        for layer in base.manifest.layers:
            path = self.blobs.require(layer.digest)
            self.blobs.touch(layer.digest)
            is_file = layer.media_type in (media.MODEL, media.PROJECTOR, media.ADAPTER)
            origin = base.name.short if layer.media_type == media.MODEL else layer.origin
            header = read_gguf(path) if is_file and is_gguf(path) else None
            taken = msgspec.structs.replace(layer, origin=origin)
            self.parts.append(Part(taken, existing(layer.digest), header))
        if not any(part.header for part in self.parts):  # a format we do not read
            known = ("model_family", "model_families", "model_type", "file_type")
            kept = {key: getattr(base.config, key) for key in known}
            self.config = msgspec.structs.replace(self.config, **kept)

    def _import_files(self, files: Mapping[str, str], quantize_to: str) -> Iterator[Progress]:
        self.parts += yield from self._importer().weights(files, _outtype(quantize_to))
        found = [part for part in self.parts if part.layer.media_type == media.MODEL]
        if len(found) > 1:
            raise InvalidRequest("only one model file is supported", field="files")
        if found and not quantize_to and not _is_monolith(found[0].header):
            yield Progress("verifying conversion")
        for part in found:
            self._use_defaults(part)

    def _use_defaults(self, part: Part) -> None:
        header = part.header
        if header is None:
            return
        name, parameters = _FAMILY_DEFAULTS.get(header.architecture, ("", {}))
        self.config = msgspec.structs.replace(
            self.config,
            renderer=self.config.renderer or name,
            parser=self.config.parser or name,
        )
        jinja = header.chat_template
        detected = self.tools.detect_template(jinja) if jinja else None
        if detected:
            made = self._put(media.TEMPLATE, text_bytes(detected.template, "template"))
            status = f"using autodetected template {detected.name}"
            self.parts.append(Part(made.layer, status))
            parameters = {**parameters, **detected.parameters}
        if parameters:
            self.parts.append(self._put(media.PARAMS, params_bytes(parameters)))

    def _import_adapters(self, files: Mapping[str, str]) -> Iterator[Progress]:
        weights = (part.header for part in self.parts if part.layer.media_type == media.MODEL)
        base = self.request.files or {}
        made = yield from self._importer().adapter(files, base, next(weights, None))
        for part in made:
            if part.layer.media_type != media.ADAPTER:
                raise InvalidRequest("the adapter file does not hold an adapter", field="adapters")
        self.parts += made

    def _import_draft(self, files: Mapping[str, str]) -> Iterator[Progress]:
        quantize_to = self.request.draft_quantize and target_type(self.request.draft_quantize)
        made = yield from self._importer().weights(files, _outtype(quantize_to))
        for part in made:
            self.parts.append(make_draft(part))
            family = part.header.architecture if part.header else ""
            facts = {"model_format": "gguf", "architecture": family}
            self.config = msgspec.structs.replace(self.config, draft=facts)
        if quantize_to:
            yield from self._quantize(media.DRAFT, quantize_to)

    def _importer(self) -> Importer:
        name = Name.parse(self.request.model).model
        return Importer(self.blobs, self._note, self.tools.convert, name)

    # --- what is changed about them -------------------------------------------------------------

    def _quantize(self, kind: str, target: str) -> Iterator[Progress]:
        for place, part in enumerate(self.parts):
            if part.layer.media_type != kind or part.header is None:
                continue
            source = source_type(part.header)
            if not source:
                raise StoreError(_not_full(kind, part.header))
            if source == target:
                continue
            if self.tools.quantize is None:
                raise StoreError("this installation cannot quantize models")
            with self.blobs.temporary() as path:
                original = self.blobs.require(part.layer.digest)
                yield from quantized(original, path, (source, target), self.tools.quantize)
                yield Progress("verifying conversion")
                header = read_gguf(path)
                digest, new = self.blobs.adopt(path)
            self._note(digest, new)
            layer = Layer(kind, digest, self.blobs.size(digest))
            self.parts[place] = Part(layer, status(digest, new), header)

    def _apply_changes(self) -> None:
        request = self.request
        if request.template:
            self._replace(media.TEMPLATE, text_bytes(request.template, "template"))
        if request.system:
            self._replace(media.SYSTEM, text_bytes(request.system, "system"))
        for text in filter(None, request.licenses):
            self.parts.append(self._put(media.LICENSE, text_bytes(text, "license")))
        if parameters := {**self._stored_parameters(), **request.parameters}:
            self._replace(media.PARAMS, params_bytes(parameters))
        if request.messages:
            self._replace(media.MESSAGES, messages_bytes(request.messages))

    def _stored_parameters(self) -> dict[str, Any]:
        return Texts((part.layer for part in self.parts), self.blobs).params()

    def _replace(self, kind: str, data: bytes) -> None:
        old = (media.TEMPLATE, media.OLD_TEMPLATE) if kind == media.TEMPLATE else (kind,)
        self.parts = [part for part in self.parts if part.layer.media_type not in old]
        self.parts.append(self._put(kind, data))

    def _put(self, kind: str, data: bytes) -> Part:
        self.pins.add([digest_of(data)])
        digest, new = self.blobs.put(data)
        self._note(digest, new)
        return Part(Layer(kind, digest, len(data)), status(digest, digest in self.made))

    def _note(self, digest: str, new: bool) -> None:
        self.pins.add([digest])
        if new:
            self.made.add(digest)


def _is_monolith(header: GGUFHeader | None) -> bool:
    """Whether weights and projector, or weights and draft, are one file."""
    return header is not None and any(
        tensor.name.startswith(_EMBEDDED) for tensor in header.tensors
    )


def _not_full(kind: str, header: GGUFHeader) -> str:
    if kind == media.DRAFT:
        return f"draft quantization requires an unquantized draft model, got {header.file_type}"
    return "quantization is only supported for F16, BF16 and F32 models"


def _outtype(quantize_to: str) -> str:
    """What safetensors files become on the way to a type; 16 bits stay as they are."""
    return quantize_to.lower() if quantize_to in FULL_TYPES else "auto"
