"""Challenges and tokens."""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import AccessDenied, RegistryError
from pyollama.store.registry.auth import (
    Challenge,
    parse_challenge,
    read_token,
    signature,
    token_url,
)

ASKED = httpx.URL("https://r.example/v2/a/b/manifests/c")


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (
            'Bearer realm="https://r.example/token",service="r",scope="repository:a/b:pull"',
            Challenge("https://r.example/token", "r", ("repository:a/b:pull",)),
        ),
        (
            'bearer  scope = "one two" , realm = "/token" ,error="invalid_token"',
            Challenge("/token", "", ("one", "two")),
        ),
        (r'Bearer realm="a\"b\\c"', Challenge('a"b\\c')),
        ("Bearer realm=bare,service=r", Challenge("bare", "r")),
        ('Bearer realm="first",realm="second"', Challenge("first")),
    ],
)
def test_challenges(header: str, challenge: Challenge) -> None:
    assert parse_challenge(header) == challenge


@pytest.mark.parametrize(
    "header", ["", "Bearer", 'Basic realm="r"', 'Bearer service="r"', 'Bearer realm=""']
)
def test_what_is_no_challenge(header: str) -> None:
    with pytest.raises(AccessDenied):
        parse_challenge(header)


@given(st.text())
def test_any_header_is_a_challenge_or_refused(text: str) -> None:
    with suppress(AccessDenied):
        assert parse_challenge(f"Bearer {text}").realm


def test_the_token_is_asked_for_with_all_scopes() -> None:
    url = token_url(Challenge("/token?x=1", "svc", ("one", "two")), ASKED, now=1234.9)
    assert (url.scheme, url.host, url.path) == ("https", "r.example", "/token")
    assert url.params.get_list("scope") == ["one", "two"]
    assert (url.params["x"], url.params["service"], url.params["ts"]) == ("1", "svc", "1234")
    assert len(base64.urlsafe_b64decode(url.params["nonce"] + "==")) == 16
    assert url != token_url(Challenge("/token?x=1", "svc", ("one", "two")), ASKED, now=1234.9)


@pytest.mark.parametrize(
    "realm", ["https://evil.example/token", "https://r.example:444/token", "//evil.example/"]
)
def test_a_realm_on_another_host_gets_nothing(realm: str) -> None:
    with pytest.raises(RegistryError, match=r'does not match original host "r\.example"'):
        token_url(Challenge(realm), ASKED)


def test_the_usual_port_is_the_same_host() -> None:
    assert token_url(Challenge("https://r.example:443/token"), ASKED).host == "r.example"


@pytest.mark.parametrize("realm", ["http://r.example:443/token", "ftp://r.example:443/"])
def test_a_realm_must_be_as_well_encrypted(realm: str) -> None:
    with pytest.raises(RegistryError):
        token_url(Challenge(realm), ASKED)


@pytest.mark.parametrize("realm", ["https://[", "https://r.example:99999999/", "\x00"])
def test_a_realm_that_is_no_address(realm: str) -> None:
    with pytest.raises(RegistryError):
        token_url(Challenge(realm), ASKED)


def test_what_is_signed() -> None:
    signed: list[bytes] = []

    def sign(data: bytes) -> str:
        signed.append(data)
        return "key:signature"

    url = httpx.URL("https://r.example/token?ts=1&scope=a%3Ab")
    assert signature(url, sign) == "key:signature"
    empty = base64.b64encode(hashlib.sha256(b"").hexdigest().encode())
    assert signed == [b"GET,https://r.example/token?ts=1&scope=a%3Ab," + empty]


def test_tokens() -> None:
    assert read_token(b'{"token": "abc", "expires_in": 300}') == "abc"
    assert read_token(b'{"access_token": "abc"}') == "abc"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"token": ""}', b'{"token": "a\\r\\nb"}', b'{"token": 1}', b"\xff"],
)
def test_what_is_no_token(body: bytes) -> None:
    with pytest.raises(AccessDenied, match="no token"):
        read_token(body)
