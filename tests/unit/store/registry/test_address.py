"""Where a name leads, and where requests may go."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from pyollama.errors import RegistryError, RegistryUnreachable
from pyollama.store.name import Name
from pyollama.store.registry.address import (
    Guard,
    Network,
    Registry,
    is_public,
    origin_of,
    proxy_for,
    registries_for,
)

ADDRESSES = {
    "registry.example": ["93.184.216.34"],
    "cdn.example": ["93.184.216.35"],
    "inside.example": ["10.1.2.3"],
    "both.example": ["93.184.216.34", "192.168.0.1"],
    "also-inside.example": ["10.9.9.9"],
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service of our own, and no proxies."""

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
            found = [host]
        except OSError:
            if host not in ADDRESSES:
                raise socket.gaierror(-2, "Name or service not known") from None
            found = ADDRESSES[host]
        return [(0, 0, 0, "", (each, port)) for each in found]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def guard(base: str, *private: str, trusted: bool = False, plain: bool = False) -> Guard:
    return Guard(Registry(base, trusted, plain), Network(private_hosts=private))


@pytest.mark.parametrize(
    ("text", "insecure", "base"),
    [
        ("llama3", False, "https://registry.ollama.ai"),
        ("example.com:5000/a/b:c", False, "https://example.com:5000"),
        ("http://example.com/a/b", False, "https://example.com"),
        ("example.com/a/b", True, "http://example.com"),
    ],
)
def test_the_registry_of_a_name(text: str, insecure: bool, base: str) -> None:
    (found,) = registries_for(Name.parse(text), Network(), insecure=insecure)
    assert (found.base, found.trusted, found.plain) == (base, insecure, insecure)


def test_urls() -> None:
    registry, name = Registry("https://r.example"), Name.parse("r.example/space/model:tag")
    assert registry.manifest(name) == "https://r.example/v2/space/model/manifests/tag"
    digest = "sha256-" + "a" * 64
    assert registry.blob(name, digest).endswith("/v2/space/model/blobs/sha256:" + "a" * 64)


def test_mirrors_come_first_and_are_trusted() -> None:
    mirrors = {"registry.ollama.ai": ("http://10.0.0.5:5000/", "https://m.example")}
    found = registries_for(Name.parse("llama3"), Network(mirrors=mirrors))
    assert [(each.base, each.trusted, each.plain) for each in found] == [
        ("http://10.0.0.5:5000", True, True),
        ("https://m.example", True, False),
        ("https://registry.ollama.ai", False, False),
    ]


@pytest.mark.parametrize(
    "ip", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_public_addresses(ip: str) -> None:
    assert is_public(ip)


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:0001::",
        "nonsense",
        "",
    ],
)
def test_addresses_that_not_everybody_reaches(ip: str) -> None:
    assert not is_public(ip)


def test_public_hosts_may_be_asked() -> None:
    check = guard("https://registry.example")
    check.check(httpx.URL("https://registry.example/v2/"))
    check.check(httpx.URL("https://cdn.example/blob"))


@pytest.mark.parametrize("host", ["inside.example", "both.example", "127.0.0.1", "[::1]:5000"])
def test_private_hosts_need_the_word_of_the_user(host: str) -> None:
    url = httpx.URL(f"https://{host}/v2/")
    with pytest.raises(RegistryError, match="private address"):
        guard(f"https://{host}").check(url)
    guard(f"https://{host}", trusted=True).check(url)
    guard(f"https://{host}", url.host).check(url)


def test_a_host_is_allowed_with_its_port_or_without() -> None:
    url = httpx.URL("https://inside.example:5000/v2/")
    guard("https://inside.example:5000", "INSIDE.example:5000").check(url)
    with pytest.raises(RegistryError):
        guard("https://inside.example:5000", "inside.example:5001").check(url)


def test_a_public_registry_cannot_lead_inside() -> None:
    for check in (
        guard("https://registry.example"),
        guard("https://registry.example", trusted=True),
    ):
        with pytest.raises(RegistryError, match=r"inside\.example has the private address 10\.1"):
            check.check(httpx.URL("https://inside.example/secret"))


def test_a_private_registry_may_lead_to_its_neighbours() -> None:
    check = guard("https://inside.example", trusted=True)
    check.check(httpx.URL("https://also-inside.example/blob"))


def test_plain_http_needs_the_word_of_the_user() -> None:
    with pytest.raises(RegistryError, match="not encrypted"):
        guard("https://registry.example").check(httpx.URL("http://cdn.example/blob"))
    guard("http://registry.example", plain=True).check(httpx.URL("http://cdn.example/blob"))


@pytest.mark.parametrize("url", ["ftp://cdn.example/", "file:///etc/passwd", "https://"])
def test_other_kinds_of_addresses(url: str) -> None:
    with pytest.raises(RegistryError, match="no HTTP address"):
        guard("https://registry.example", plain=True).check(httpx.URL(url))


def test_errors_do_not_show_queries() -> None:
    with pytest.raises(RegistryError) as caught:
        guard("https://registry.example").check(httpx.URL("http://cdn.example/b?token=secret"))
    assert "secret" not in str(caught.value)


def test_unknown_hosts() -> None:
    with pytest.raises(RegistryUnreachable, match=r"cannot find the host nowhere\.example"):
        guard("https://nowhere.example").check(httpx.URL("https://nowhere.example/"))


def test_behind_a_proxy_names_are_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "registry.example")
    assert proxy_for(httpx.URL("https://nowhere.example/")) == "http://proxy.example:3128"
    assert proxy_for(httpx.URL("https://registry.example/")) is None
    guard("https://nowhere.example").check(httpx.URL("https://nowhere.example/"))
    with pytest.raises(RegistryError, match="private address"):
        guard("https://nowhere.example").check(httpx.URL("https://10.0.0.1/"))
    with pytest.raises(RegistryError, match="this machine"):
        guard("https://nowhere.example").check(httpx.URL("https://localhost/"))


def test_origins_know_the_usual_ports() -> None:
    assert origin_of(httpx.URL("https://A.example/x")) == origin_of(
        httpx.URL("https://a.example:443")
    )
    assert origin_of(httpx.URL("https://a.example")) != origin_of(httpx.URL("http://a.example"))
