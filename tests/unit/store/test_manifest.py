from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidManifest
from pyollama.store.manifest import (
    Layer,
    Manifest,
    format_manifest,
    model_digest,
    parse_manifest,
)
from pyollama.store.model_config import ModelConfig, format_config, parse_config

A, B = ("sha256:" + letter * 64 for letter in "ab")

WRITTEN_BY_OLLAMA = (
    '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
    f'"config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{A}",'
    f'"size":7}},"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"{B}",'
    '"size":12,"from":"a\\u003cb"},{"mediaType":"application/x.new","digest":"'
    f'{A}","size":0,"name":"config.json"}}]}}\n'
).encode()

LAYERS = st.builds(
    Layer,
    st.text(max_size=40),
    st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
    st.integers(0, 1 << 57),  # all together have to be sound too
    st.text(max_size=20),
    st.text(max_size=20),
)


def test_bytes_are_those_of_ollama() -> None:
    manifest = parse_manifest(WRITTEN_BY_OLLAMA)
    assert [layer.origin for layer in manifest.layers] == ["a<b", ""]
    assert manifest.size == 19
    assert format_manifest(manifest) == WRITTEN_BY_OLLAMA


def test_a_model_is_known_by_the_bytes_of_its_manifest() -> None:
    assert model_digest(WRITTEN_BY_OLLAMA) == hashlib.sha256(WRITTEN_BY_OLLAMA).hexdigest()


@given(st.builds(Manifest, LAYERS, st.lists(LAYERS, max_size=4).map(tuple)))
def test_manifests_read_back(manifest: Manifest) -> None:
    data = format_manifest(manifest)
    assert parse_manifest(data) == manifest
    assert data.endswith(b"}\n")
    assert not set(b"<>&") & set(data)


def test_no_layers_may_be_null() -> None:
    document = json.loads(WRITTEN_BY_OLLAMA) | {"layers": None}
    assert parse_manifest(json.dumps(document).encode()).layers == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [("digest", "sha256:../../x"), ("digest", ""), ("size", -1), ("size", 1 << 61), ("size", "1")],
)
def test_unsound_layers_are_refused(key: str, value: object) -> None:
    document = json.loads(WRITTEN_BY_OLLAMA)
    document["layers"][0][key] = value
    with pytest.raises(InvalidManifest):
        parse_manifest(json.dumps(document).encode())


@given(st.one_of(st.binary(), st.text().map(str.encode), st.just(b"[" * 5000)))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidManifest):
        parse_manifest(data)


@given(st.integers(0, len(WRITTEN_BY_OLLAMA) - 1), st.integers(0, 255))
def test_a_changed_byte_does_no_harm(place: int, byte: int) -> None:
    data = bytearray(WRITTEN_BY_OLLAMA)
    data[place] = byte
    try:
        manifest = parse_manifest(bytes(data))
    except InvalidManifest:
        return
    assert all(layer.size >= 0 for layer in manifest.blobs)


def test_config_has_optional_fields_only_when_set() -> None:
    config = ModelConfig(model_format="gguf", model_family="llama", model_families=("llama",))
    assert format_config(config) == (
        b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],'
        b'"model_type":"","file_type":"","architecture":"amd64","os":"linux"}\n'
    )
    assert b'"model_families":null' in format_config(ModelConfig())


@given(
    st.builds(
        ModelConfig,
        model_family=st.text(),
        model_families=st.lists(st.text(min_size=1)).map(tuple),
        renderer=st.text(),
        capabilities=st.lists(st.text()).map(tuple),
        context_length=st.integers(0, 1 << 40),
        draft=st.dictionaries(st.text(), st.text()),
    )
)
def test_configs_read_back(config: ModelConfig) -> None:
    assert parse_config(format_config(config)) == config


def test_config_passes_over_what_it_does_not_know() -> None:
    config = parse_config(b'{"model_family":null,"rootfs":{"type":"layers"},"model_type":"8B"}')
    assert config == ModelConfig(model_type="8B")


@pytest.mark.parametrize("data", [b"", b"[]", b"5", b'{"model_type":5}', b"\xff", b"[" * 9999])
def test_other_configs_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidManifest):
        parse_config(data)
