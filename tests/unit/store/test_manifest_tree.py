from __future__ import annotations

from pathlib import Path

import pytest

from pyollama.errors import StoreError
from pyollama.store.manifest_tree import ManifestTree
from pyollama.store.name import Name


@pytest.fixture
def tree(tmp_path: Path) -> ManifestTree:
    return ManifestTree(tmp_path / "manifests")


def name(text: str) -> Name:
    return Name.parse(text)


def test_names_are_found_whatever_their_case(tree: ManifestTree) -> None:
    tree.write(name("Me/LLama:Q4"), b"{}")
    assert tree.find(name("me/llama:q4")) == name("Me/LLama:Q4")
    assert tree.find(name("me/llama:q5")) is None
    assert tree.find(name("x" * 80)) is None


def test_the_exact_spelling_goes_first(tree: ManifestTree) -> None:
    for text in ("Foo:v1", "foo:v2", "FOO:v1"):
        tree.write(name(text), b"{}")
    assert tree.find(name("FOO:v1")) == name("FOO:v1")
    assert tree.find(name("foo:V2")) == name("foo:v2")
    assert tree.find(name("fOO:v2")) == name("foo:v2")


def test_new_names_keep_to_spellings_that_exist(tree: ManifestTree) -> None:
    tree.write(name("Me/LLama:Q4"), b"{}")
    assert tree.spell(name("ME/llama:New")) == name("Me/LLama:New")
    assert tree.spell(name("me/OTHER:q4")) == name("Me/OTHER:q4")
    assert tree.spell(name("you/llama")) == name("you/llama")


def test_what_cannot_be_a_model_is_passed_over(tree: ManifestTree) -> None:
    tree.write(name("good"), b"{}")
    folder = tree.path(name("good")).parent
    (folder / ".hidden").write_text("")
    (folder / "folder").mkdir()
    (tree.folder / "file").write_text("")
    assert list(tree.names()) == [name("good")]


def test_empty_folders_go_with_the_last_model(tree: ManifestTree) -> None:
    tree.write(name("h/n/m:a"), b"{}")
    tree.write(name("h/n/m:b"), b"{}")
    tree.delete(name("h/n/m:a"))
    assert list(tree.names()) == [name("h/n/m:b")]
    tree.delete(name("h/n/m:b"))
    assert list(tree.folder.iterdir()) == []
    with pytest.raises(StoreError, match="cannot delete"):
        tree.delete(name("h/n/m:b"))


def test_a_folder_in_the_way_is_an_error(tree: ManifestTree) -> None:
    tree.path(name("m")).mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot write"):
        tree.write(name("m"), b"{}")
    with pytest.raises(StoreError, match="cannot read"):
        tree.read(name("m"))
