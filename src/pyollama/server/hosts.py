"""Which ``Host`` headers are answered on a loopback address.

A page of a foreign site can point its own name at 127.0.0.1 (DNS rebinding); its requests then
arrive here with that name in ``Host``. So only names of this machine are answered.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import psutil

_LOCAL_ENDINGS = (".localhost", ".local", ".internal")
_PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "127.0.0.0/8"))
)


@dataclass(frozen=True, slots=True)
class LocalHosts:
    """The names and addresses of this machine."""

    name: str
    addresses: frozenset[IPv4Address | IPv6Address]

    @classmethod
    def of_this_machine(cls) -> LocalHosts:
        found = {
            address
            for interface in psutil.net_if_addrs().values()
            for entry in interface
            if (address := _address(entry.address.partition("%")[0])) is not None
        }
        return cls(socket.gethostname().lower(), frozenset(found))

    def knows(self, host: str) -> bool:
        """Whether ``host``, a header without its port, means this machine."""
        address = _address(host)
        if address is not None:
            return (
                address.is_loopback
                or address.is_unspecified
                or address in self.addresses
                or any(address in network for network in _PRIVATE)
            )
        return self.knows_name(host)

    def knows_name(self, host: str) -> bool:
        name = host.lower()
        return name in ("", "localhost", self.name) or name.endswith(_LOCAL_ENDINGS)


def without_port(host: str) -> str:
    """The host part of a ``Host`` header; brackets stay on where there is no port after them."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]:")
        return name if bracket and port else host
    name, colon, _ = host.partition(":")
    return name if colon and host.count(":") == 1 else host


def is_loopback(host: str) -> bool:
    """Whether listening on ``host`` is reachable from this machine only."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
