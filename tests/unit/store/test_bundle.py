from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama.errors import InvalidBundle, ModelNotFound, StoreError
from pyollama.store.store import Store
from pyollama.types import CreateRequest

Make = Callable[..., bytes]


@pytest.fixture
def source(store: Store, model_gguf: Make) -> Store:
    """A store with the models ``a`` and ``Me/B:v1``, which share their weights."""
    digest, _ = store.blobs.put(model_gguf())
    for model in ("a", "Me/B:v1"):
        for _ in store.create(CreateRequest(model=model, files={"x.gguf": digest}, system=model)):
            pass
    return store


@pytest.fixture
def bundle(source: Store) -> bytes:
    return exported(source, "a", "me/b:V1")


@pytest.fixture
def target(tmp_path: Path) -> Store:
    return Store(tmp_path / "target")


def exported(store: Store, *models: str) -> bytes:
    out = io.BytesIO()
    for step in store.export(models, out):
        assert step.completed <= step.total
    return out.getvalue()


def take_in(store: Store, data: bytes) -> list[str]:
    return [step.status for step in store.import_bundle(io.BytesIO(data))]


def members(data: bytes) -> list[tuple[str, bytes]]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found.append((member.name, content.read()))
    return found


def archive(items: list[tuple[str, bytes]], **fields: Any) -> bytes:
    """A tar file; ``fields`` are set on the first member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as file:
        for name, content in items:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in fields.items():
                setattr(member, key, value)
            fields = {}
            file.addfile(member, io.BytesIO(content))
    return out.getvalue()


def names(store: Store) -> list[str]:
    return sorted(model.name.short for model in store.list())


def leftovers(store: Store) -> list[str]:
    folder = store.root / "blobs"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_models_arrive_byte_for_byte(source: Store, target: Store, bundle: bytes) -> None:
    assert take_in(target, bundle)[-1] == "success"
    assert names(target) == ["Me/B:v1", "a:latest"]
    for model in ("a", "me/b:v1"):
        assert target.resolve(model).digest == source.resolve(model).digest
    assert leftovers(target) == leftovers(source)
    assert take_in(target, bundle)[-1] == "success", "what is there already does not disturb"


def test_a_model_of_the_same_name_is_replaced(target: Store, bundle: bytes, source: Store) -> None:
    digest, _ = target.blobs.put(
        source.blobs.read(source.resolve("a").manifest.layers[0].digest, 10**6)
    )
    for _ in target.create(CreateRequest(model="A", files={"x.gguf": digest}, system="older")):
        pass
    take_in(target, bundle)
    assert names(target) == ["A:latest", "Me/B:v1"], "its spelling stays"
    assert target.resolve("a").system == "a"
    assert leftovers(target) == leftovers(source)


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="sha256sum is not there")
def test_it_can_be_checked_without_us(bundle: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    subprocess.run(["tar", "xf", "-"], input=bundle, cwd=folder, check=True)
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(check, cwd=folder, check=True, capture_output=True, text=True)
    assert done.stdout.count(": OK\n") == len(members(bundle)) - 1


def test_what_cannot_be_exported(source: Store) -> None:
    with pytest.raises(ModelNotFound, match="model 'nope' not found"):
        exported(source, "a", "nope")
    digest = source.resolve("a").manifest.layers[0].digest
    path = source.blobs.path(digest)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(InvalidBundle, match=f"blob {digest} is damaged and cannot be bundled"):
        exported(source, "a")


def test_a_bundle_that_is_cut_off_leaves_nothing(target: Store, bundle: bytes) -> None:
    for length in range(0, len(bundle), 97):
        with pytest.raises(InvalidBundle):
            take_in(target, bundle[:length])
    assert names(target) == leftovers(target) == []


def test_every_flipped_byte_is_noticed(target: Store, bundle: bytes) -> None:
    for place in range(0, len(bundle), 29):
        damaged = bytearray(bundle)
        damaged[place] ^= 0x10
        with pytest.raises(InvalidBundle):
            take_in(target, bytes(damaged))
    assert names(target) == leftovers(target) == []


INDEX = {"format": 1, "models": [], "blobs": []}
BLOB = {"digest": "sha256:" + "a" * 64, "size": 1}


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"{", "bundle.json is not valid"),
        (b"[" * 100_000, "bundle.json is not valid"),
        ({**INDEX, "format": 2}, "has format 2"),
        ({**INDEX, "blobs": [BLOB, BLOB]}, "has a blob twice"),
        ({**INDEX, "blobs": [BLOB] * 100_001}, "too many"),
        ({**INDEX, "blobs": [{**BLOB, "size": -1}]}, "of -1 bytes"),
        ({**INDEX, "blobs": [{**BLOB, "size": 2**62}]}, "of 4611686018427387904 bytes"),
        ({**INDEX, "blobs": [{**BLOB, "size": 2**59}]}, "bytes left"),
        ({**INDEX, "blobs": [{**BLOB, "digest": "sha256:../../../etc/passwd"}]}, "has a blob"),
        ({**INDEX, "blobs": [{**BLOB, "digest": "sha256:" + "A" * 64}]}, "has a blob"),
        ({**INDEX, "models": [{"name": "a", "digest": "x", "size": 1 << 40}]}, "has 1099511627776"),
        ({**INDEX, "models": [{"name": "a", "digest": "x", "size": 16 << 20}] * 17}, "too long"),
        ({**INDEX, "models": [{"name": "a", "digest": "x", "size": 5}]}, "no manifests/0"),
    ],
)
def test_a_hostile_index(target: Store, index: bytes | dict[str, Any], message: str) -> None:
    data = index if isinstance(index, bytes) else json.dumps(index).encode()
    with pytest.raises(StoreError, match=message):
        take_in(target, archive([("bundle.json", data)]))
    assert names(target) == leftovers(target) == []


def test_hostile_members(target: Store, bundle: bytes) -> None:
    items = members(bundle)
    for fields in (
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0},
        {"type": tarfile.DIRTYPE, "size": 0},
        {"type": tarfile.GNUTYPE_LONGNAME},
        {"type": tarfile.XHDTYPE},
        {"name": "../bundle.json"},
        {"name": "/bundle.json"},
    ):
        with pytest.raises(InvalidBundle):
            take_in(target, archive(items, **fields))
    for changed in (items[1:], [*items[:1], *items], items[:-1], [*items, ("more", b"x")]):
        with pytest.raises(InvalidBundle):
            take_in(target, archive(changed))
    first = next(n for n, (name, _) in enumerate(items) if name.startswith("blobs/"))
    items[first], items[first + 1] = items[first + 1], items[first]
    with pytest.raises(InvalidBundle):
        take_in(target, archive(items))
    assert names(target) == leftovers(target) == []


def test_a_manifest_needs_its_blobs_in_the_bundle(target: Store, bundle: bytes) -> None:
    items = dict(members(bundle))
    index = json.loads(items["bundle.json"])
    index["blobs"] = index["blobs"][1:]
    items["bundle.json"] = json.dumps(index).encode()
    with pytest.raises(InvalidBundle, match=r"needs blob sha256:.*, which the bundle lacks"):
        take_in(target, archive(list(items.items())))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=2000))
def test_anything_is_refused(target: Store, data: bytes) -> None:
    with pytest.raises(InvalidBundle):
        take_in(target, data)
