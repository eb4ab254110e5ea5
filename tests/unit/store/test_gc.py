from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pyollama.errors import InvalidManifest
from pyollama.store import gc
from pyollama.store.blobs import Blobs
from pyollama.store.manifest import CONFIG_TYPE, MODEL, Layer, Manifest, format_manifest
from pyollama.store.manifest_tree import ManifestTree
from pyollama.store.name import Name

HEX = "0123456789abcdef" * 4
OLD = time.time() - 2 * gc.GRACE


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def tree(tmp_path: Path) -> ManifestTree:
    return ManifestTree(tmp_path / "manifests")


def add(tree: ManifestTree, blobs: Blobs, model: str, content: bytes) -> tuple[str, str]:
    """A model with one layer; the digests of layer and config."""
    layer, _ = blobs.put(content)
    config, _ = blobs.put(b"{}" + content)
    manifest = Manifest(Layer(CONFIG_TYPE, config, 2), (Layer(MODEL, layer, 1),))
    tree.write(Name.parse(model), format_manifest(manifest))
    return layer, config


def make_old(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (OLD, OLD))


def test_only_old_and_unneeded_files_go(tree: ManifestTree, blobs: Blobs) -> None:
    needed = add(tree, blobs, "m", b"needed")
    unneeded, _ = blobs.put(b"unneeded")
    (blobs.folder / "sha256-temporary").write_text("")
    (blobs.folder / "README").write_text("not ours")
    make_old(blobs.folder)
    fresh, _ = blobs.put(b"fresh")
    (blobs.folder / "sha256-fresh").write_text("")
    assert len(gc.prune(tree, blobs)) == 2
    assert all(map(blobs.has, (*needed, fresh)))
    assert not blobs.has(unneeded)
    left = {path.name for path in blobs.folder.iterdir()}
    assert {"README", "sha256-fresh"} < left
    assert "sha256-temporary" not in left


def test_parts_of_a_download_live_and_die_together(tree: ManifestTree, blobs: Blobs) -> None:
    blobs.folder.mkdir()
    names = [f"sha256-{HEX}-partial", f"sha256-{HEX}-partial-0", f"sha256-{HEX}-partial-1"]
    for file in names:
        (blobs.folder / file).write_text("x")
    make_old(blobs.folder)
    os.utime(blobs.folder / names[2])
    assert len(gc.prune(tree, blobs)) == 0
    make_old(blobs.folder)
    assert len(gc.prune(tree, blobs)) == 3


def test_nothing_goes_when_a_manifest_is_corrupt(tree: ManifestTree, blobs: Blobs) -> None:
    blobs.put(b"whose is it?")
    make_old(blobs.folder)
    tree.write(Name.parse("broken"), b"{")
    with pytest.raises(InvalidManifest, match="manifest of broken:latest cannot be read") as caught:
        gc.prune(tree, blobs)
    assert "pyollama rm broken:latest" in caught.value.hint
    digest, _ = blobs.put(b"candidate")
    assert gc.collect([digest], tree, blobs) == 0
    assert blobs.has(digest)


def test_old_names_are_brought_up_to_date(tree: ManifestTree, blobs: Blobs) -> None:
    layer, _ = add(tree, blobs, "m", b"x")
    blobs.path(layer).rename(blobs.folder / layer)
    gc.prune(tree, blobs)
    assert blobs.has(layer)


def test_empty_folders_and_temporary_manifests_go(tree: ManifestTree, blobs: Blobs) -> None:
    add(tree, blobs, "m", b"x")
    (tree.folder / "h" / "n" / "m").mkdir(parents=True)
    (tree.folder / ".write-old").write_text("")
    os.utime(tree.folder / ".write-old", (OLD, OLD))
    (tree.folder / ".write-new").write_text("")
    assert len(gc.prune(tree, blobs)) == 1
    assert sorted(path.name for path in tree.folder.iterdir()) == [
        ".write-new",
        "registry.ollama.ai",
    ]


def test_collecting_spares_what_others_need(tree: ManifestTree, blobs: Blobs) -> None:
    shared, _ = add(tree, blobs, "m", b"shared")
    alone, _ = blobs.put(b"alone")
    pinned, _ = blobs.put(b"pinned")
    with blobs.pinned() as pins:
        pins.add([pinned])
        assert gc.collect([shared, alone, pinned], tree, blobs) == 1
    assert blobs.has(shared)
    assert blobs.has(pinned)
    assert not blobs.has(alone)


def test_an_empty_store_is_tidy(tree: ManifestTree, blobs: Blobs) -> None:
    assert len(gc.prune(tree, blobs)) == 0


def test_an_empty_manifest_stops_nothing_once_it_is_old(tree: ManifestTree, blobs: Blobs) -> None:
    """A power cut leaves one, where a file was renamed before its content was on disk."""
    orphan, _ = blobs.put(b"orphan")
    make_old(blobs.folder)
    name = Name.parse("lost")
    tree.write(name, b"")
    with pytest.raises(InvalidManifest):
        gc.prune(tree, blobs)
    os.utime(tree.path(name), (OLD, OLD))
    assert gc.unneeded(tree, blobs, gc.horizon()) == [blobs.path(orphan), tree.path(name)]
    assert gc.prune(tree, blobs) == [blobs.path(orphan), tree.path(name)]
    assert list(tree.names()) == []
    assert list(tree.folder.iterdir()) == []
