"""Docker's registry, started by the tests: bare, or behind TLS, tokens and faults.

The program is Debian's package ``docker-registry``; ``make registry`` unpacks it below ``build/``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.e2e.certificates import Certificates, make_certificates
from tests.e2e.fault_proxy import FaultProxy
from tests.e2e.running import free_port
from tests.e2e.token_server import ISSUER, SERVICE, TokenServer

_UNPACKED = Path(__file__).parents[2] / "build" / "registry" / "usr" / "bin" / "docker-registry"
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry. ``host`` is what stands in front of a model's name.

    ``storage`` is its folder; ``environment`` makes clients trust its certificate.
    """

    url: str
    storage: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str]

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]


@dataclass(frozen=True, slots=True)
class GuardedRegistry(Registry):
    """A registry that is reached through ``proxy``, with tokens of ``tokens`` if there are any."""

    proxy: FaultProxy
    tokens: TokenServer | None


def registry_program() -> str:
    """The path of the program; the test is skipped where it cannot be had."""
    if _UNPACKED.is_file():
        return str(_UNPACKED)
    found = shutil.which("docker-registry")
    if found is None:
        pytest.skip("docker-registry is not there (on Debian: make registry)")
    return found


@contextmanager
def running_registry(folder: Path, *, tls: bool = False) -> Iterator[Registry]:
    """A registry that lets everybody do everything; with ``tls`` it speaks HTTPS itself."""
    port = free_port()
    certificates = make_certificates(folder / "certificates") if tls else None
    with _process(folder, port, certificates, {}) as process:
        scheme = "https" if tls else "http"
        url = f"{scheme}://127.0.0.1:{port}"
        yield Registry(url, folder / "storage", process, _trust(certificates))


@contextmanager
def guarded_registry(
    folder: Path, *, tls: bool = True, with_tokens: bool = True
) -> Iterator[GuardedRegistry]:
    """A registry behind a proxy that can fail, and, if asked for, behind TLS and tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    certificates = make_certificates(folder / "certificates") if tls else None
    tokens = TokenServer(folder) if with_tokens else None
    proxy = FaultProxy(certificates, tokens)
    port = free_port()
    proxy.upstream, proxy.storage = ("127.0.0.1", port), folder / "storage"
    auth = {}
    if tokens:
        realm = f"{proxy.url}/token"
        bundle = str(tokens.bundle)
        auth = {
            "token": {
                "realm": realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": bundle,
            }
        }
    with _process(folder, port, None, auth) as process:
        proxy.start()
        try:
            yield GuardedRegistry(
                proxy.url, proxy.storage, process, _trust(certificates), proxy, tokens
            )
        finally:
            proxy.close()
        assert not proxy.errors


def _trust(certificates: Certificates | None) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(certificates.authority)} if certificates else {}


@contextmanager
def _process(
    folder: Path, port: int, certificates: Certificates | None, auth: dict[str, dict[str, str]]
) -> Iterator[subprocess.Popen[bytes]]:
    program = registry_program()
    storage = folder / "storage"
    storage.mkdir(parents=True, exist_ok=True)
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}", "secret": "tests"}
    if certificates:
        files = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
        http["tls"] = files
    configuration = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
        "http": http,
    }
    if auth:
        configuration["auth"] = auth
    path = folder / "registry.yml"
    path.write_text(json.dumps(configuration))  # JSON is YAML
    log = folder / "registry.log"
    with log.open("wb") as out:
        process = subprocess.Popen([program, "serve", str(path)], stdout=out, stderr=out)
    try:
        _wait_until_ready(process, port, certificates, log)
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, certificates: Certificates | None, log: Path
) -> None:
    deadline = time.monotonic() + _PATIENCE
    url = f"{'https' if certificates else 'http'}://127.0.0.1:{port}/"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the registry ended: {log.read_text()}")
        try:
            httpx.get(url, verify=False, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"the registry does not answer: {log.read_text()}")
