from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.config import Address, Settings, parse_address
from pyollama.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://0.0.0.0:11434"),
        ("example.com:80", "http://example.com:80"),
        (":8080", "http://127.0.0.1:8080"),
        ("http://example.com", "http://example.com:80"),
        ("https://example.com", "https://example.com:443"),
        ("https://example.com:1234/base", "https://example.com:1234/base"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:99", "http://[::1]:99"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_host(text: str, url: str) -> None:
    assert Settings.load({"OLLAMA_HOST": text}).address.url == url


@pytest.mark.parametrize("text", ["host:65536", "host:x", "ftp://host", "[::1", "[::1]x", "a:b:c"])
def test_bad_host_names_its_variable(text: str) -> None:
    with pytest.raises(ConfigError, match="OLLAMA_HOST") as caught:
        Settings.load({"OLLAMA_HOST": text})
    assert caught.value.details["variable"] == "OLLAMA_HOST"


@given(st.text(max_size=60))
def test_any_host_parses_or_is_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert isinstance(address, Address)
    assert address.host
    assert 0 <= address.port <= 65535


def test_defaults_hold_without_any_variable() -> None:
    assert Settings.load({}) == Settings()


def test_quotes_and_blanks_are_trimmed() -> None:
    settings = Settings.load({"OLLAMA_MODELS": ' "/srv/models" ', "OLLAMA_NUM_PARALLEL": " 4 "})
    assert settings.models == Path("/srv/models")
    assert settings.num_parallel == 4


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("90", 90), ("-1", -1), ("0", 0), ("1.5s", 1.5), ("", 300)]
)
def test_keep_alive(text: str, seconds: float) -> None:
    assert Settings.load({"OLLAMA_KEEP_ALIVE": text}).keep_alive == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OLLAMA_KEEP_ALIVE", "soon"),
        ("OLLAMA_NUM_PARALLEL", "-1"),
        ("OLLAMA_NUM_PARALLEL", "two"),
        ("OLLAMA_MAX_QUEUE", "-1"),
        ("OLLAMA_CONTEXT_LENGTH", "1.5"),
        ("PYOLLAMA_PREFIX_RAM", "much"),
        ("PYOLLAMA_PREFIX_RAM", "-1"),
        ("PYOLLAMA_PREFIX_DISK", "1 GB each"),
        ("PYOLLAMA_PREFIX_DISK", "GB"),
    ],
)
def test_bad_values_name_their_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Settings.load({name: value})


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", None),
        ("0", 0),
        ("1234", 1234),
        ("12B", 12),
        ("1k", 1024),
        ("2 MB", 2_000_000),
        ("1.5GiB", 1536 << 20),
        ("3g", 3 << 30),
        ("1TB", 10**12),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    settings = Settings.load({"PYOLLAMA_PREFIX_RAM": text, "PYOLLAMA_PREFIX_DISK": text})
    assert (settings.prefix_ram, settings.prefix_disk) == (size, size or 0)


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("0", False), ("False", False), ("1", True), ("yes", True)]
)
def test_switches_have_three_states(text: str, value: bool | None) -> None:
    assert Settings.load({"OLLAMA_FLASH_ATTENTION": text}).flash_attention is value


@pytest.mark.parametrize(
    ("text", "level"), [("", 0), ("0", 0), ("false", 0), ("1", 1), ("true", 1), ("2", 2)]
)
def test_debug_level(text: str, level: int) -> None:
    assert Settings.load({"OLLAMA_DEBUG": text}).debug == level
    assert Settings.load({"PYOLLAMA_DEBUG": text, "OLLAMA_DEBUG": "0"}).debug == level


def test_lists_are_split_at_commas() -> None:
    settings = Settings.load({"OLLAMA_ORIGINS": "https://a.example, http://b.example:*,"})
    assert settings.origins == ("https://a.example", "http://b.example:*")


def test_aliases_are_pairs() -> None:
    settings = Settings.load({"PYOLLAMA_ALIASES": " gpt-4o=qwen3:8b , x = /models/y.gguf,"})
    assert settings.aliases == (("gpt-4o", "qwen3:8b"), ("x", "/models/y.gguf"))


@pytest.mark.parametrize("text", ["gpt-4o", "gpt-4o=", "=x", "a=b,c"])
def test_half_an_alias_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="PYOLLAMA_ALIASES"):
        Settings.load({"PYOLLAMA_ALIASES": text})


def test_the_cache_of_hugging_face_is_where_its_own_variables_say() -> None:
    assert Settings.load({"HF_HOME": "/hf"}).hugging_face == Path("/hf/hub")
    both = {"HF_HOME": "/hf", "HF_HUB_CACHE": "/cache"}
    assert Settings.load(both).hugging_face == Path("/cache")


def test_who_may_name_files() -> None:
    found = [Settings.load({"PYOLLAMA_FILES": text}).files for text in ("", "1", "0")]
    assert found == [None, True, False]


def test_mirrors_are_asked_in_the_order_they_are_named() -> None:
    text = "Registry.ollama.ai=https://one.example, x.example=http://10.0.0.5:5000,"
    text += "registry.ollama.ai=https://two.example/path"
    settings = Settings.load({"PYOLLAMA_REGISTRY_MIRRORS": text})
    assert settings.registry_mirrors == {
        "registry.ollama.ai": ("https://one.example", "https://two.example/path"),
        "x.example": ("http://10.0.0.5:5000",),
    }
    assert Settings.load({}).registry_mirrors == {}


@pytest.mark.parametrize("text", ["https://one.example", "a=b", "=https://x", "a=ftp://x"])
def test_what_is_no_mirror(text: str) -> None:
    with pytest.raises(ConfigError, match="PYOLLAMA_REGISTRY_MIRRORS"):
        Settings.load({"PYOLLAMA_REGISTRY_MIRRORS": text})
