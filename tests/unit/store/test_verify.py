from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from pyollama.store.manifest import CONFIG_TYPE, Layer, Manifest, format_manifest
from pyollama.store.manifest_tree import ManifestTree
from pyollama.store.name import Name
from pyollama.store.store import Store
from pyollama.store.verify import Finding
from pyollama.types import CreateRequest, Progress

Make = Callable[..., bytes]


@pytest.fixture
def weights(store: Store, model_gguf: Make) -> str:
    """The digest of the weights that the models ``a`` and ``b`` share."""
    digest, _ = store.blobs.put(model_gguf())
    for model in ("a", "b"):
        request = CreateRequest(model=model, files={"x.gguf": digest}, system=f"I am {model}.")
        for _ in store.create(request):
            pass
    return digest


def found(store: Store) -> list[Finding]:
    return [item for item in store.verify() if isinstance(item, Finding)]


def damaged(store: Store) -> list[Finding]:
    return [item for item in found(store) if item.problem]


def test_a_sound_store(store: Store, weights: str) -> None:
    store.blobs.put(b"nobody's")
    by_digest = {item.subject: item for item in found(store)}
    assert damaged(store) == []
    assert by_digest[weights].models == ("a:latest", "b:latest")
    assert by_digest[weights].size == store.blobs.size(weights)
    assert sorted(len(item.models) for item in by_digest.values()) == [0, 1, 1, 2, 2]
    steps = [item for item in store.verify() if isinstance(item, Progress)]
    assert {(step.digest, step.total) for step in steps} == {
        (item.subject, item.size) for item in by_digest.values()
    }


def test_a_flipped_byte_is_found(store: Store, weights: str) -> None:
    path = store.blobs.path(weights)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    (finding,) = damaged(store)
    assert (finding.subject, finding.models) == (weights, ("a:latest", "b:latest"))
    assert finding.problem.startswith("has other content, of digest sha256:")


def test_other_damage(store: Store, weights: str) -> None:
    system = next(x for x in store.resolve("a").manifest.layers if x.size == len("I am a."))
    other = next(x for x in store.resolve("b").manifest.layers if x.size == len("I am b."))
    store.blobs.path(weights).write_bytes(b"GGUF")
    store.blobs.path(system.digest).unlink()
    store.blobs.path(other.digest).unlink()
    store.blobs.path(other.digest).symlink_to("/nowhere/at/all")
    for model, data in (("c", b"{"), ("d", b"")):
        path = store.root / "manifests" / "registry.ollama.ai" / "library" / model / "latest"
        path.parent.mkdir()
        path.write_bytes(data)
    config, _ = store.blobs.put(b"[]")
    manifest = Manifest(Layer(CONFIG_TYPE, config, 2), ())
    ManifestTree(store.root / "manifests").write(Name.parse("e"), format_manifest(manifest))
    problems = {item.subject: (item.problem, item.models) for item in damaged(store)}
    assert problems.keys() == {
        weights,
        system.digest,
        other.digest,
        "c:latest",
        "d:latest",
        "e:latest",
    }
    assert problems["e:latest"][0].startswith("model config is not valid")
    assert problems[weights][0].startswith("has 4 bytes instead of ")
    assert problems[system.digest] == ("is missing", ("a:latest",))
    assert problems[other.digest][0] == "is a link to /nowhere/at/all, which does not exist"
    assert problems["c:latest"][0].startswith("manifest is not valid")


def test_a_start_says_what_is_damaged(
    store: Store, weights: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.blobs.path(weights).write_bytes(b"GGUF")
    with caplog.at_level(logging.WARNING):
        store.prune()
    assert f"{weights}: has 4 bytes instead of" in caplog.text
    assert "(a:latest, b:latest)" in caplog.text


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "nothing")
    assert found(store) == []
    store.prune()
    assert not store.root.exists()
