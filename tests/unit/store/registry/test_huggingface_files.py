from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import ModelNotFound, StoreError
from pyollama.store.registry.huggingface_files import (
    RepositoryFile,
    choose,
    parse_listing,
)

DIGEST = "ab" * 32


def entry(path: str, size: int = 1000, **changes: Any) -> dict[str, Any]:
    """An entry as the API gives it for a file that is kept by its digest."""
    pointer = {"oid": DIGEST, "size": size, "pointerSize": 134}
    return {"type": "file", "oid": "cd" * 20, "size": size, "path": path, "lfs": pointer} | changes


def files(*paths: str) -> list[RepositoryFile]:
    return [RepositoryFile(path, 1000, f"sha256:{DIGEST}") for path in paths]


def chosen(paths: list[str], tag: str = "latest") -> list[str]:
    return [file.path for file in choose(files(*paths), tag).files]


def test_reads_large_and_small_files_and_leaves_folders_out() -> None:
    listing = [
        {"type": "directory", "oid": "ef" * 20, "size": 0, "path": "Q8_0"},
        entry("Q8_0/model-Q8_0.gguf", 123),
        {"type": "file", "oid": "cd" * 20, "size": 7, "path": "params"},
    ]
    assert parse_listing(json.dumps(listing).encode()) == [
        RepositoryFile("Q8_0/model-Q8_0.gguf", 123, f"sha256:{DIGEST}"),
        RepositoryFile("params", 7),
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        entry("../../etc/passwd"),
        entry("/etc/passwd"),
        entry("a/./b.gguf"),
        entry("a//b.gguf"),
        entry("a\nb.gguf"),
        entry("..\\b.gguf"),
        entry("x.gguf", lfs={"oid": "../../x", "size": 1}),
        entry("x.gguf", lfs={"oid": DIGEST, "size": -1}),
        entry("x.gguf", lfs={"oid": DIGEST, "size": 1 << 62}),
        {"type": "file", "path": "x", "size": -5},
    ],
)
def test_leaves_out_what_cannot_be(hostile: dict[str, Any]) -> None:
    assert parse_listing(json.dumps([hostile]).encode()) == []


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'[{"type": 1}]', b'[{"path": "x"}]', b"\xff", b"[" * 100_000]
)
def test_a_listing_that_is_none_is_an_error(data: bytes) -> None:
    with pytest.raises(StoreError, match="list of files"):
        parse_listing(data)


@given(st.binary(max_size=200))
def test_a_listing_can_cause_only_that_error(data: bytes) -> None:
    with suppress(StoreError):
        parse_listing(data)


REPOSITORY = [
    "Model-BF16.gguf",
    "Model-IQ3_M.gguf",
    "Model-Q3_K_L.gguf",
    "Model-Q4_K_M.gguf",
    "Model-Q8_0.gguf",
]


@pytest.mark.parametrize(
    ("tag", "path"),
    [
        ("latest", "Model-Q4_K_M.gguf"),
        ("Latest", "Model-Q4_K_M.gguf"),
        ("Q8_0", "Model-Q8_0.gguf"),
        ("iq3_m", "Model-IQ3_M.gguf"),
        ("bf16", "Model-BF16.gguf"),
        ("Model-Q3_K_L.gguf", "Model-Q3_K_L.gguf"),
        ("model-q3_k_l", "Model-Q3_K_L.gguf"),
    ],
)
def test_a_tag_is_a_quantisation_in_any_case_or_a_file(tag: str, path: str) -> None:
    assert chosen(REPOSITORY, tag) == [path]


def test_a_tag_is_never_a_piece_of_a_longer_quantisation() -> None:
    assert chosen(["m-Q4_K_M.gguf", "m-Q4_K.gguf"], "Q4_K") == ["m-Q4_K.gguf"]
    with pytest.raises(ModelNotFound, match="for the tag 'Q4_N', but for IQ4_NL, Q4_K_M"):
        chosen(["m-IQ4_NL.gguf", "m-Q4_K_M.gguf"], "Q4_N")


def test_more_words_behind_the_quantisation_do_no_harm() -> None:
    assert chosen(["m-Q4_K_M-imat.gguf", "m-Q8_0-imat.gguf"], "q8_0") == ["m-Q8_0-imat.gguf"]


def test_the_shorter_name_goes_first() -> None:
    paths = ["m-UD-Q4_K_XL.gguf", "m-Q4_K_XL.gguf"]
    assert chosen(paths, "Q4_K_XL") == ["m-Q4_K_XL.gguf"]
    assert chosen(paths, "UD-Q4_K_XL") == ["m-UD-Q4_K_XL.gguf"]


@pytest.mark.parametrize(
    ("paths", "path"),
    [
        (["m.Q8_0.gguf", "m.Q4_K_S.gguf"], "m.Q4_K_S.gguf"),
        (["m-f16.gguf", "m-q5_k_m.gguf"], "m-q5_k_m.gguf"),
        (["m-F16.gguf", "m-IQ1_S.gguf"], "m-F16.gguf"),
        (["weights.gguf"], "weights.gguf"),
    ],
)
def test_without_q4_k_m_something_reasonable_is_taken(paths: list[str], path: str) -> None:
    assert chosen(paths) == [path]


def test_shards_come_in_order_and_only_when_all_are_there() -> None:
    shards = [f"Q4_K_M/big-Q4_K_M-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    others = ["Q8_0/big-Q8_0-00001-of-00002.gguf"]
    assert chosen([*others, *reversed(shards)]) == shards
    assert chosen([*others, *shards], "big-Q4_K_M-00002-of-00003.gguf") == shards
    assert chosen([*others, *shards], "Q4_K_M") == shards
    with pytest.raises(ModelNotFound):
        chosen([*others, *shards], "Q8_0")


def test_shards_of_two_folders_are_not_mixed() -> None:
    paths = ["a/m-Q8_0-00001-of-00002.gguf", "b/m-Q8_0-00002-of-00002.gguf"]
    with pytest.raises(ModelNotFound, match="no GGUF"):
        chosen(paths)


@pytest.mark.parametrize("count", ["00000", "99999"])
def test_absurd_numbers_of_shards_are_left_out(count: str) -> None:
    assert chosen([f"m-00001-of-{count}.gguf", "m-Q2_K.gguf"]) == ["m-Q2_K.gguf"]


def test_the_projector_comes_along_in_its_best_form() -> None:
    paths = ["m-Q4_K_M.gguf", "mmproj-m-Q8_0.gguf", "mmproj-m-f16.gguf", "mmproj-BF16.gguf"]
    assert chosen(paths) == ["m-Q4_K_M.gguf", "mmproj-m-f16.gguf"]


def test_the_projector_of_the_same_folder_goes_first() -> None:
    paths = ["a/m-Q8_0.gguf", "a/mmproj-Q8_0.gguf", "mmproj-F16.gguf", "b/mmproj-F16.gguf"]
    assert chosen(paths) == ["a/m-Q8_0.gguf", "a/mmproj-Q8_0.gguf"]


@pytest.mark.parametrize(
    "path", ["mmproj-F16.gguf", "m.imatrix.gguf", "mtp-m-Q8_0.gguf", "config.json", "m.safetensors"]
)
def test_what_is_no_model_is_never_taken_for_one(path: str) -> None:
    with pytest.raises(ModelNotFound, match="no GGUF"):
        chosen([path])


def test_small_files_that_change_the_model_are_found() -> None:
    small = [RepositoryFile("params", 7), RepositoryFile("template", 9), RepositoryFile("x", 1)]
    choice = choose([*files("m-Q8_0.gguf", "sub/system"), *small], "latest")
    assert sorted(choice.texts) == ["params", "template"]


@given(st.lists(st.text("Qm4K_-.0/of1gu", max_size=24).map(lambda text: f"{text}.gguf")), st.text())
def test_any_names_give_files_of_the_list_or_the_error(paths: list[str], tag: str) -> None:
    with suppress(ModelNotFound):
        assert set(chosen(paths, tag)) <= set(paths)
