from __future__ import annotations

import pytest
from starlette.requests import Request
from tests.unit.server.asgi import Exchange

from pyollama.errors import InvalidRequest
from pyollama.server.callers import Caller, Callers


def request(headers: dict[str, str], address: str = "127.0.0.1") -> Request:
    return Request({**Exchange(headers=headers).scope, "client": (address, 1)})


def test_a_caller_without_token_is_its_address() -> None:
    assert Callers().of(request({})) == Caller("normal", "address 127.0.0.1", files=True)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_token_tells_callers_apart_wherever_they_are(scheme: str) -> None:
    callers = Callers()
    key = callers.of(request({"authorization": f"{scheme} secret"})).key
    assert key == callers.of(request({"authorization": "Bearer secret"}, "10.0.0.1")).key
    assert key != callers.of(request({"authorization": "Bearer other"})).key


def test_a_key_does_not_give_the_token_away() -> None:
    asked = request({"authorization": "Bearer secret"})
    assert "secret" not in Callers().of(asked).key
    assert Callers().of(asked) != Callers().of(asked), "another process, another salt"


@pytest.mark.parametrize("header", ["Basic dTpw", "Bearer", "Bearer  ", ""])
def test_other_credentials_are_no_token(header: str) -> None:
    assert Callers().of(request({"authorization": header})).key == "address 127.0.0.1"


@pytest.mark.parametrize("name", ["interactive", "normal", "batch", "Batch"])
def test_priorities(name: str) -> None:
    assert Callers().of(request({"x-pyollama-priority": name})).priority == name.lower()


@pytest.mark.parametrize("name", ["urgent", "", "1"])
def test_an_unknown_priority_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="interactive, normal, batch") as refused:
        Callers().of(request({"x-pyollama-priority": name}))
    assert refused.value.details == {"field": "X-Pyollama-Priority"}


@pytest.mark.parametrize(
    ("address", "headers", "programs_here"),
    [
        ("127.0.0.1", {}, True),
        ("127.9.9.9", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("10.0.0.1", {}, False),
        ("8.8.8.8", {}, False),
        ("testclient", {}, False),
        ("127.0.0.1", {"x-forwarded-for": "8.8.8.8"}, False),
        ("127.0.0.1", {"forwarded": "for=8.8.8.8"}, False),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}, False),
        ("127.0.0.1", {"via": "1.1 proxy"}, False),
        ("127.0.0.1", {"origin": "http://localhost:3000"}, False),
    ],
)
def test_who_may_name_files(address: str, headers: dict[str, str], programs_here: bool) -> None:
    asked = request(headers, address)
    assert Callers().of(asked).files is programs_here
    assert Callers(files=True).of(asked).files
    assert not Callers(files=False).of(asked).files


def test_a_file_is_named_in_a_header() -> None:
    headers = {"x-pyollama-file": "/models/a%20b%C3%A4.gguf"}
    assert Callers().named_file(request(headers)) == "/models/a bä.gguf"
    assert Callers().named_file(request({})) == ""
    with pytest.raises(InvalidRequest, match="X-Pyollama-File: only programs on the server's"):
        Callers().named_file(request(headers, "10.0.0.1"))
