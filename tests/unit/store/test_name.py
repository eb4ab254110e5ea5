from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidName, InvalidRequest
from pyollama.store.name import Name, split_digest, split_source

PARTS = {
    "host": r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}",
    "namespace": r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}",
    "model": r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}",
    "tag": r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}",
}
NAMES = st.builds(Name, **{k: st.from_regex(v, fullmatch=True) for k, v in PARTS.items()})


@pytest.mark.parametrize(
    ("text", "full", "short"),
    [
        ("llama3", "registry.ollama.ai/library/llama3:latest", "llama3:latest"),
        ("llama3:8b-q4_0", "registry.ollama.ai/library/llama3:8b-q4_0", "llama3:8b-q4_0"),
        ("me/Model.1", "registry.ollama.ai/me/Model.1:latest", "me/Model.1:latest"),
        ("hf.co/u/r:Q4_K_M", "hf.co/u/r:Q4_K_M", "hf.co/u/r:Q4_K_M"),
        ("http://127.0.0.1:1/library/x:t", "127.0.0.1:1/library/x:t", "127.0.0.1:1/library/x:t"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest", "localhost:5000/a/b:latest"),
        ("registry.ollama.ai/library/x", "registry.ollama.ai/library/x:latest", "x:latest"),
        ("h/library/x", "h/library/x:latest", "h/library/x:latest"),
    ],
)
def test_parts_are_filled_in(text: str, full: str, short: str) -> None:
    name = Name.parse(text)
    assert (str(name), name.short) == (full, short)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":tag", "x:", "x/", "/x", "//", "x//y", "a/b/c/d/e", "a b", "-x", ".x", "x@y"),
        *("a/b:c:d", "n.s/x", "ä", "x:-t", "../x", "a/../b", "x" * 81, "x:" + "t" * 81, "x\n"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidName, match="invalid model name"):
        Name.parse(text)


@given(NAMES)
def test_text_forms_read_back(name: Name) -> None:
    assert Name.parse(str(name)) == name
    assert Name.parse(name.short) == name


@given(st.text())
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = Name.parse(text)
    except InvalidName:
        return
    assert Name.parse(str(name)) == name


@given(NAMES, st.text("0123456789abcdefABCDEF", min_size=64, max_size=64), st.sampled_from(":-"))
def test_a_digest_is_split_off(name: Name, digits: str, sign: str) -> None:
    assert split_digest(f"{name}@sha256{sign}{digits}") == (str(name), digits.lower())
    for text in (f"{name}", f"{name}@sha256:{digits[1:]}", f"@sha256:{digits}"):
        assert split_digest(text) == (text, "")


@given(st.text(), st.sampled_from(["", ":cloud", "-cloud", ":local"]))
def test_any_text_is_split_or_refused(text: str, place: str) -> None:
    try:
        name, source = split_source(text + place)
    except InvalidRequest:
        return
    assert source in ("", "cloud", "local")
    assert text.strip().startswith(name) or name in (text + place).strip()
    if not source:
        assert name == (text + place).strip()


def test_case_does_not_tell_names_apart() -> None:
    assert Name.parse("Me/LLama:Q4").key == Name.parse("me/llama:q4").key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" x ", ("x", "")),
        ("x:cloud", ("x", "cloud")),
        ("x:8b-cloud", ("x:8b", "cloud")),
        ("x:8b:cloud", ("x:8b", "cloud")),
        ("x:LOCAL", ("x", "local")),
        ("my-cloud", ("my-cloud", "")),
        ("h:1/n/local", ("h:1/n/local", "")),
    ],
)
def test_the_place_is_split_off(text: str, expected: tuple[str, str]) -> None:
    assert split_source(text) == expected


@pytest.mark.parametrize("text", ["a:local:cloud", "a:cloud:local"])
def test_two_places_contradict(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        split_source(text)
    assert str(caught.value) == f'use either :local or :cloud, not both: "{text}"'
