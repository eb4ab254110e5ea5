"""Manifests, configs and files made to do harm: a clear error, and the rest of the store works."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyollama.errors import InvalidManifest, InvalidName, InvalidRequest, PyollamaError, StoreError
from pyollama.store.files import read_file
from pyollama.store.gguf import is_gguf, read_gguf
from pyollama.store.manifest import (
    CONFIG_TYPE,
    MANIFEST_TYPE,
    MAX_LAYERS,
    MODEL,
    PARAMS,
    TEMPLATE,
    parse_manifest,
)
from pyollama.store.name import Name
from pyollama.store.show import modelfile_text
from pyollama.store.store import Store
from pyollama.types import CreateRequest

Write = Callable[..., bytes]
DIGEST = "sha256:" + "a" * 64


def layer(digest: str = DIGEST, size: object = 1, kind: str = MODEL, **more: object) -> Any:
    return {"mediaType": kind, "digest": digest, "size": size, **more}


def manifest(*layers: Any, config: Any = None, **more: object) -> bytes:
    whole = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": list(layers)}
    return json.dumps(whole | {"config": config or layer(kind=CONFIG_TYPE)} | more).encode()


HOSTILE_MANIFESTS = {
    "nothing": b"",
    "no JSON": b"\xff\xfe",
    "a list": b"[]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "deep inside": manifest(x=0).replace(b'"x": 0', b'"x": ' + b"[" * 90_000 + b"]" * 90_000),
    "longer than any": b" " * ((16 << 20) + 1),
    "config that is null": manifest().replace(
        json.dumps(layer(kind=CONFIG_TYPE)).encode(), b"null"
    ),
    "layers that are none": manifest(layers="x"),
    "layers that are numbers": manifest(layers=[1]),
    "layer that is null": manifest(layers=[None]),
    "too many layers": manifest(*[layer()] * (MAX_LAYERS + 1)),
    "negative size": manifest(layer(size=-1)),
    "size beyond 63 bits": manifest(layer(size=1 << 63)),
    "size beyond 64 bits": manifest(layer(size=1 << 70)),
    "size that is a fraction": manifest(layer(size=1.5)),
    "size that is a text": manifest(layer(size="1")),
    "sizes that are too large together": manifest(*[layer(size=1 << 59)] * 40),
    "digest that leads out": manifest(layer("sha256:../../../../etc/passwd")),
    "digest with a path behind it": manifest(layer(DIGEST + "/../x")),
    "digest with a path before it": manifest(layer("../" + DIGEST)),
    "digest with a zero": manifest(layer(DIGEST[:-1] + "\0")),
    "digest with a line": manifest(layer(DIGEST + "\n")),
    "digest of another kind": manifest(layer("md5:" + "a" * 32)),
    "digest in wide digits": manifest(layer("sha256:" + "\uff11" * 64)),
    "digest that is empty": manifest(layer("")),
    "digest of the config that leads out": manifest(config=layer("sha256:../../x")),
    "digest that is a number": manifest(layer()).replace(f'"{DIGEST}"'.encode(), b"5", 1),
}


@pytest.mark.parametrize("name", HOSTILE_MANIFESTS)
def test_hostile_manifests_are_refused(store: Store, name: str, good: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        parse_manifest(HOSTILE_MANIFESTS[name])
    assert len(str(caught.value)) < 1000
    path = put_manifest(store, "bad", HOSTILE_MANIFESTS[name])
    with pytest.raises(StoreError):
        store.resolve("bad")
    assert [model.name.short for model in store.list()] == [good]
    store.prune()
    store.resolve(good)
    store.delete("bad")
    assert not path.exists()


@pytest.fixture
def good(store: Store, model_gguf: Write) -> str:
    digest, _ = store.blobs.put(model_gguf())
    for _ in store.create(CreateRequest(model="good", files={"x.gguf": digest})):
        pass
    return "good:latest"


def put_manifest(store: Store, name: str, data: bytes) -> Path:
    path = store.root.joinpath("manifests", *Name.parse(name).parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def put_model(store: Store, config: bytes, **layers: bytes) -> None:
    """The model ``bad`` with this config, and layers by the last word of their type."""
    kinds = {"params": PARAMS, "template": TEMPLATE, "model": MODEL}
    found = [
        layer(store.blobs.put(data)[0], len(data), kinds[kind]) for kind, data in layers.items()
    ]
    put_manifest(
        store, "bad", manifest(*found, config=layer(store.blobs.put(config)[0], kind=CONFIG_TYPE))
    )


@pytest.mark.parametrize(
    "config",
    [
        *(b"", b"[]", b"5", b"null", b"\xff", b'{"model_family":5}', b'{"draft":[]}'),
        *(
            b'{"context_length":-1}',
            b'{"context_length":1e400}',
            b'{"context_length":' + b"9" * 40 + b"}",
        ),
        *(b'{"draft":' + b'{"a":' * 900 + b"1" + b"}" * 901, b"[" * 100_000),
        b'{"model_families":[1]}',
    ],
)
def test_hostile_configs_are_refused(store: Store, config: bytes, good: str) -> None:
    put_model(store, config, model=b"GGUF")
    with pytest.raises(StoreError):
        store.resolve("bad")
    assert [model.name.short for model in store.list()] == [good]


@pytest.mark.parametrize("params", [b"[]", b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", b"5", b"{"])
def test_hostile_parameters_are_refused(store: Store, params: bytes, good: str) -> None:
    put_model(store, b"{}", params=params)
    with pytest.raises(StoreError):
        store.resolve("bad")
    assert [model.name.short for model in store.list()] == [good]


def test_what_is_odd_and_allowed_can_be_shown(store: Store) -> None:
    params = b'{"a":1e300,"stop":[1,null,{"b":[]}],"":"","\\u0000":"","n":%s}' % (b"9" * 400)
    put_model(
        store, b'{"context_length":9223372036854775807,"model_type":"\\u0000"}', params=params
    )
    model = store.resolve("bad")
    assert "FROM" in modelfile_text(model)
    msgspec.json.encode(model.details)


@pytest.mark.parametrize(
    "text",
    [
        *("../x", "a/../b", "..", ".", "/etc/passwd", "a\\b", "C:\\x", "a/b/c/d/e", "x\0"),
        *("..:x", "x:..", "x:../y", "x:a/b", "http://../x/y", "%2e%2e/x", "~/x", "$HOME", "a//b"),
        *("\u202ex", "\uff0e\uff0e/x", "x" * 5000, "/" * 5000, ":" * 5000, "-x", "x/.hidden"),
    ],
)
def test_names_do_not_lead_out_of_the_store(store: Store, text: str, good: str) -> None:
    for act in (store.resolve, store.delete, lambda name: store.copy("good", name)):
        with pytest.raises((InvalidName, InvalidRequest)):
            act(text)
    with pytest.raises((InvalidName, InvalidRequest)):
        list(store.create(CreateRequest(model=text, base="good")))
    assert [model.name.short for model in store.list()] == [good]


@pytest.mark.parametrize("digest", ["sha256:../x", "../" + DIGEST, DIGEST + "/..", "", "sha256-x"])
def test_digests_do_not_lead_out_of_the_store(store: Store, digest: str) -> None:
    for act in (store.blobs.has, store.blobs.path, store.blobs.require, store.blobs.delete):
        with pytest.raises(InvalidRequest, match="invalid digest"):
            act(digest)
    with pytest.raises(PyollamaError):
        list(store.create(CreateRequest(model="x", files={"x.gguf": digest})))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "file"
    path.parent.mkdir()
    path.write_bytes(b"kept")
    return path


def test_links_out_of_the_store_are_not_written_through(
    store: Store, outside: Path, good: str
) -> None:
    path = put_manifest(store, "bad", b"")
    path.unlink()
    path.symlink_to(outside)
    assert [model.name.short for model in store.list()] == [good]
    store.copy("good", "bad")
    assert outside.read_bytes() == b"kept"
    assert not path.is_symlink()
    store.resolve("bad")
    folder = store.root / "manifests" / "linked.example"
    folder.symlink_to(outside.parent)
    store.prune()
    assert {model.name.model for model in store.list()} == {"good", "bad"}
    store.delete("bad")
    assert outside.read_bytes() == b"kept"


def test_blobs_that_are_links_are_deleted_as_links(store: Store, outside: Path) -> None:
    digest = "sha256:" + "b" * 64
    store.blobs.folder.mkdir(parents=True)
    store.blobs.path(digest).symlink_to(outside)
    assert store.blobs.delete(digest)
    assert outside.read_bytes() == b"kept"


def test_folders_that_go_round_end(store: Store, good: str) -> None:
    (store.root / "manifests" / "round").symlink_to(store.root / "manifests")
    assert good in [model.name.short for model in store.list()]
    store.prune()
    store.resolve(good)


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_files_that_are_none_do_not_stop_the_store(store: Store, good: str, kind: str) -> None:
    """Reading a pipe that nobody writes to would never end, and a device has no end."""

    def put(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()

    put(store.root.joinpath("manifests", *Name.parse("odd").parts))
    digest = "sha256:" + "c" * 64
    put(store.blobs.path(digest))
    config, _ = store.blobs.put(b"{}")
    for name, found in (
        ("weights", manifest(layer(digest), config=layer(config, kind=CONFIG_TYPE))),
        ("text", manifest(layer(digest, kind=TEMPLATE), config=layer(config, kind=CONFIG_TYPE))),
        ("config", manifest(config=layer(digest, kind=CONFIG_TYPE))),
    ):
        put_manifest(store, name, found)
        with pytest.raises(PyollamaError):
            store.resolve(name)
    with pytest.raises(PyollamaError):
        store.resolve("odd")
    assert good in [model.name.short for model in store.list()]
    store.prune()
    with pytest.raises(PyollamaError):
        list(store.create(CreateRequest(model="x", files={"x.gguf": digest})))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_gguf, is_gguf, lambda path: read_file(path, 10)):
        with pytest.raises(StoreError, match="not a regular file"):
            read(tmp_path / "pipe")
