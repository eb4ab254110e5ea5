"""What files that somebody gave become: layers with weights, converted or merged where needed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pyollama.errors import InvalidRequest, StoreError
from pyollama.store import adapter_base, split
from pyollama.store import manifest as media
from pyollama.store.blobs import Blobs
from pyollama.store.files import disk_errors
from pyollama.store.gguf import GGUFHeader, is_gguf, read_gguf
from pyollama.store.layers import Part, existing, media_type, status
from pyollama.store.manifest import Layer
from pyollama.store.measured import measured
from pyollama.types import Progress

Parts = Generator[Progress, None, list[Part]]

_WANTED = (".safetensors", ".json", ".jinja", ".model", ".txt")
"""What a converter may need; programs that come with a model are not among it."""
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ADAPTER_CONFIG = "adapter_config.json"


class Converter(Protocol):
    """Writes ``target`` from the files of a model or an adapter in ``folder``.

    ``kind`` is ``model``, ``projector`` or ``adapter``; ``outtype`` is ``auto``, ``f32``, ``f16``
    or ``bf16``; ``base`` is a folder with the configuration of the model that an adapter is for.
    Yields the bytes that are written; the result says whether the model has a projector to be made
    as well.
    """

    def __call__(
        self, folder: Path, target: Path, *, kind: str, outtype: str, base: Path | None
    ) -> Generator[int, None, bool]: ...


class Importer:
    """Makes layers of files, which are given as digests by their names.

    ``note`` is told every new blob. ``name`` is what a converted model is called, if its files do
    not say.
    """

    def __init__(
        self,
        blobs: Blobs,
        note: Callable[[str, bool], None],
        converter: Converter | None,
        name: str,
    ) -> None:
        self._blobs = blobs
        self._note = note
        self._converter = converter
        self._name = name

    def weights(self, files: Mapping[str, str], outtype: str) -> Parts:
        """The layers of a model, which may be any number of files of one format.

        ``outtype`` is what safetensors files become.
        """
        if self._kind(files) == "gguf":
            return (yield from self._gguf(files))
        return (yield from self._converted(files, outtype))

    def adapter(
        self, files: Mapping[str, str], base: Mapping[str, str], header: GGUFHeader | None
    ) -> Parts:
        """The layer of a LoRA adapter for a model, of which the files or the header are known."""
        if self._kind(files) == "gguf":
            if len(files) > 1:
                raise InvalidRequest("only one adapter is currently supported", field="adapters")
            return (yield from self._gguf(files))
        yield Progress("converting adapter")
        with self._folder(files) as folder, self._folder(base) as base_folder:
            _require(folder, _ADAPTER_CONFIG, _ADAPTER_WEIGHTS)
            if not (base_folder / "config.json").is_file():
                config = json.dumps(adapter_base.config_of(header))
                (base_folder / "config.json").write_text(config)
            part, _ = yield from self._convert(folder, "adapter", "f32", base_folder)
        return [part]

    # --- GGUF -----------------------------------------------------------------------------------

    def _gguf(self, files: Mapping[str, str]) -> Parts:
        parts: list[Part] = []
        pieces: dict[str, GGUFHeader] = {}
        for name, digest in files.items():
            yield Progress("parsing GGUF")
            self._note(digest, False)
            path = self._blobs.require(digest)
            if not is_gguf(path):
                raise InvalidRequest("supplied file was not in GGUF format", field="files")
            header = read_gguf(path)
            self._blobs.touch(digest)
            if split.is_part(header):
                pieces[name] = header
                continue
            layer = Layer(media_type(header), digest, self._blobs.size(digest))
            parts.append(Part(layer, existing(digest), header))
        if pieces:
            parts.insert(0, (yield from self._merged(pieces)))
        return parts

    def _merged(self, pieces: Mapping[str, GGUFHeader]) -> Generator[Progress, None, Part]:
        ordered = split.in_order(pieces)
        total = sum(tensor.size for header in ordered for tensor in header.tensors)
        with self._blobs.temporary() as path:
            yield from measured("merging split GGUF", total, split.merged(ordered, path))
            return self._adopted(path)

    # --- safetensors ----------------------------------------------------------------------------

    def _converted(self, files: Mapping[str, str], outtype: str) -> Parts:
        yield Progress("converting model")
        with self._folder(files) as folder:
            _require(folder, "config.json")
            part, has_projector = yield from self._convert(folder, "model", outtype)
            parts = [part]
            if has_projector:
                part, _ = yield from self._convert(folder, "projector", "auto")
                parts.append(part)
        return parts

    def _convert(
        self, folder: Path, kind: str, outtype: str, base: Path | None = None
    ) -> Generator[Progress, None, tuple[Part, bool]]:
        if self._converter is None:
            raise StoreError("this installation cannot convert safetensors files")
        total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        with self._blobs.temporary() as path:
            work = self._converter(folder, path, kind=kind, outtype=outtype, base=base)
            has_projector = yield from measured(f"converting {kind}", total, work)
            return self._adopted(path), has_projector

    @contextmanager
    def _folder(self, files: Mapping[str, str]) -> Iterator[Path]:
        """A folder with links to the files under their own names."""
        with _temporary_folder() as root:
            folder = Path(root, self._name)
            with disk_errors("write to", folder):
                folder.mkdir()
                for name, digest in files.items():
                    if name.endswith(_WANTED):
                        self._note(digest, False)
                        blob = self._blobs.require(digest).absolute()
                        self._blobs.touch(digest)
                        path = folder / name
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.symlink_to(blob)
            yield folder

    # --- all ------------------------------------------------------------------------------------

    def _adopted(self, path: Path) -> Part:
        """The layer of a file that was made just now."""
        digest, new = self._blobs.adopt(path)
        self._note(digest, new)
        header = read_gguf(self._blobs.path(digest))
        layer = Layer(media_type(header), digest, self._blobs.size(digest))
        return Part(layer, status(digest, new), header)

    def _kind(self, files: Mapping[str, str]) -> str:
        """By the ending of a name, else by content."""
        if any(name.endswith(".safetensors") for name in files):
            return "safetensors"
        for name, digest in files.items():
            if name.endswith(".gguf"):
                return "gguf"
            if self._blobs.has(digest) and is_gguf(self._blobs.path(digest)):
                return "gguf"
        raise InvalidRequest("unknown type", field="files")


def make_draft(part: Part) -> Part:
    """The same layer, to be used for drafts."""
    layer = Layer(media.DRAFT, part.layer.digest, part.layer.size)
    return Part(layer, part.status, part.header)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="pyollama-convert-")
    except OSError as error:
        raise StoreError(
            f"no folder for temporary files can be made: {error}",
            hint="set TMPDIR to a folder that can be written",
        ) from error


def _require(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise InvalidRequest(
                f"open {name}: no such file",
                hint=f"{name} has to be among the files",
                field="files",
            )
