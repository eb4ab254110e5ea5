from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyollama.errors import ConfigError, ModelNotFound
from pyollama.store.aliases import Aliases
from pyollama.store.store import Store
from pyollama.types import CreateRequest

Make = Callable[..., bytes]


def aliases(**pairs: str) -> Aliases:
    return Aliases.of(pairs.items(), "PYOLLAMA_ALIASES")


@pytest.fixture
def root(store: Store, model_gguf: Make) -> Path:
    digest, _ = store.blobs.put(model_gguf())
    for model in ("qwen3:8b", "taken"):
        for _ in store.create(CreateRequest(model=model, files={"x.gguf": digest})):
            pass
    return store.root


@pytest.mark.parametrize("spelling", ["gpt4", "GPT4:latest", "gpt4:local", "library/gpt4"])
def test_an_alias_is_found_like_a_name(root: Path, spelling: str) -> None:
    store = Store(root, aliases=aliases(gpt4="qwen3:8b"))
    assert store.resolve(spelling).name.short == "qwen3:8b"


def test_an_alias_goes_before_a_model_and_is_never_listed(root: Path) -> None:
    store = Store(root, aliases=aliases(taken="qwen3:8b", other="taken"))
    assert store.resolve("taken").name.short == "qwen3:8b"
    assert store.resolve("other").name.short == "taken:latest", "an alias is not looked up again"
    assert {model.name.short for model in store.list()} == {"qwen3:8b", "taken:latest"}
    store.delete("taken")
    assert [model.name.short for model in store.list()] == ["qwen3:8b"]


def test_what_is_no_alias(root: Path) -> None:
    store = Store(root, aliases=aliases(gpt4="nowhere"))
    with pytest.raises(ModelNotFound):
        store.resolve("gpt4")
    with pytest.raises(ModelNotFound):
        store.resolve("gpt4:other")


def test_an_alias_may_stand_for_a_file(root: Path, tmp_path: Path, model_gguf: Make) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(model_gguf())
    assert Store(root, aliases=aliases(gpt4=str(path))).resolve("gpt4").model_path == path


@pytest.mark.parametrize("pair", [("a b", "x"), ("x", "a b"), ("x", "./y"), ("/x", "y")])
def test_what_is_no_name_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"^PYOLLAMA_ALIASES: .* is not the name of a model$"):
        Aliases.of([pair], "PYOLLAMA_ALIASES")


def test_an_alias_stands_for_one_model() -> None:
    with pytest.raises(ConfigError, match="'X:latest' stands for two models"):
        Aliases.of([("x", "y"), ("X:latest", "z")], "PYOLLAMA_ALIASES")
