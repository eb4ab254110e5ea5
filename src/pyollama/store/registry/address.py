"""Where a model's registry is, and which hosts may be spoken to at all.

Names, manifests and redirects come from outside, so a request must not be led to a machine behind
the firewall: private addresses need the user's word, by ``insecure`` or by a list of hosts.
"""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from pyollama.errors import RegistryError, RegistryUnreachable
from pyollama.store.name import Name

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Network:
    """How the world outside may be used.

    ``private_hosts`` are hosts (``host`` or ``host:port``) that may have private addresses.
    ``mirrors`` holds, by the host of a registry, base URLs that are asked before it.
    Times are seconds: ``connect`` to reach a host, ``stall`` without a byte of an answer.
    """

    user_agent: str = "pyollama"
    private_hosts: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    connect: float = 10.0
    stall: float = 30.0


@dataclass(frozen=True, slots=True)
class Registry:
    """One registry. ``base`` is ``scheme://host[:port][/path]``.

    ``trusted`` says that the user vouched for its host, so that it may have a private address;
    ``plain`` that requests may go out without TLS.
    """

    base: str
    trusted: bool = False
    plain: bool = False

    @property
    def url(self) -> httpx.URL:
        return httpx.URL(self.base)

    @property
    def origin(self) -> Origin:
        return origin_of(self.url)

    def manifest(self, name: Name) -> str:
        return f"{self._repository(name)}/manifests/{name.tag}"

    def blob(self, name: Name, digest: str) -> str:
        return f"{self._repository(name)}/blobs/{digest.replace('-', ':', 1)}"

    def uploads(self, name: Name) -> str:
        return f"{self._repository(name)}/blobs/uploads/"

    def _repository(self, name: Name) -> str:
        return f"{self.base}/v2/{name.namespace}/{name.model}"


def registries_for(name: Name, network: Network, *, insecure: bool = False) -> list[Registry]:
    """Where to look for ``name``: its mirrors, then the registry its host names."""
    scheme = "http" if insecure else "https"
    trusted = insecure or is_listed(httpx.URL(f"{scheme}://{name.host}"), network.private_hosts)
    mirrors = [
        Registry(base.rstrip("/"), trusted=True, plain=base.startswith("http:"))
        for base in network.mirrors.get(name.host.lower(), ())
    ]
    return [*mirrors, Registry(f"{scheme}://{name.host}", trusted, plain=insecure)]


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host and port: what has to be the same for credentials to be sent."""
    return (url.scheme, url.host.lower(), url.port or _DEFAULT_PORTS.get(url.scheme, 0))


def joined(asked: httpx.URL, place: str) -> httpx.URL:
    """Where ``place`` leads, which may be relative to ``asked``; ``ValueError`` if nowhere."""
    try:
        url = asked.join(place)
        host_and_port(url)  # httpx notices some mistakes only when it is asked for the host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"{error}") from error
    return url


def host_and_port(url: httpx.URL) -> str:
    """The host of ``url`` as it stands there, with the port unless it is the usual one."""
    return url.netloc.decode("ascii")


def is_listed(url: httpx.URL, hosts: tuple[str, ...]) -> bool:
    """Whether ``hosts`` names the host of ``url``, with or without its port."""
    host, port = url.host.lower(), origin_of(url)[2]
    return any(entry.lower() in (host, f"{host}:{port}") for entry in hosts)


def is_public(address: str) -> bool:
    """Whether an IP address can be reached by everybody, so that asking it reveals nothing."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


def proxy_for(url: httpx.URL) -> str | None:
    """The proxy that the environment wants for ``url`` (``HTTPS_PROXY``, ``NO_PROXY`` …)."""
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass_environment(host_and_port(url), proxies):  # type: ignore[attr-defined]
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def addresses(url: httpx.URL) -> list[str]:
    """The IP addresses of the host of ``url``, which itself may be one."""
    try:
        found = socket.getaddrinfo(url.host, origin_of(url)[2], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RegistryUnreachable(f"cannot find the host {url.host}: {reason}") from error
    return [str(entry[4][0]) for entry in found]


class Guard:
    """Says whether a URL may be asked on behalf of one registry."""

    def __init__(self, registry: Registry, network: Network) -> None:
        self._registry = registry
        self._network = network

    def check(self, url: httpx.URL) -> None:
        """Raise :class:`RegistryError` for a URL that must not be asked.

        Behind a proxy only addresses can be judged that are written out: the proxy looks up names.
        """
        if url.scheme not in _DEFAULT_PORTS or not url.host:
            raise RegistryError(f"the registry leads to {_shown(url)}, which is no HTTP address")
        if url.scheme == "http" and not self._registry.plain:
            raise RegistryError(
                f"the registry leads to {_shown(url)}, which is not encrypted",
                hint="use --insecure if that is meant to be so",
            )
        if self.may_be_private(url):
            return
        found = [url.host] if proxy_for(url) else addresses(url)
        self.check_addresses(url, found)

    def check_addresses(self, url: httpx.URL, found: list[str]) -> None:
        """Raise if one of the addresses that ``url`` has is private."""
        if self.may_be_private(url):
            return
        for address in found:
            if _is_address(address) and not is_public(address):
                raise RegistryError(
                    f"{host_and_port(url)} has the private address {address}: use --insecure, or"
                    " name the host in PYOLLAMA_PRIVATE_REGISTRIES",
                )
            if address.lower() == "localhost":
                raise RegistryError(f"{host_and_port(url)} is this machine: use --insecure")

    def may_be_private(self, url: httpx.URL) -> bool:
        """The user named this very host, or vouched for a registry of the same private network."""
        if is_listed(url, self._network.private_hosts):
            return True
        registry = self._registry
        if not registry.trusted:
            return False
        if url.host.lower() == registry.url.host.lower():
            return True
        return not any(is_public(address) for address in addresses(registry.url))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _shown(url: httpx.URL) -> str:
    """``url`` without the query, where signatures and tokens stand."""
    return str(url.copy_with(query=None, fragment=None))
