"""Talking to one registry: connections, redirects, tokens, and the words for what goes wrong.

Redirects are followed by hand, because credentials belong to the registry alone: the first hop to
another origin drops them for good. Nothing that is logged or raised holds a header or a query.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

import httpx

from pyollama.errors import Aborted, AccessDenied, RegistryError, RegistryUnreachable
from pyollama.store.registry.address import (
    Guard,
    Network,
    Registry,
    joined,
    origin_of,
    proxy_for,
)
from pyollama.store.registry.auth import (
    Sign,
    parse_challenge,
    read_token,
    signature,
    token_url,
)
from pyollama.store.registry.patience import Patience, is_passing, retry_after
from pyollama.store.registry.wire import CheckPeer, Sockets, Wire

MAX_REDIRECTS = 10
MAX_TEXT = 64 << 10
"""Bytes of an error's body that are looked at."""

_REDIRECTS = (301, 302, 303, 307, 308)
_QUICK = Patience(tries=4, first=0.5, longest=5.0, longest_asked=60.0)

Content = bytes | Callable[[], Iterable[bytes]] | None
"""A body; one that is made in pieces is a function, because it may have to be sent again."""


class Session:
    """Requests of one pull or push to one registry. Safe to use from several threads.

    ``sign`` signs requests for tokens, see :class:`~pyollama.store.registry.keys.Key`. A token is
    kept until the end of the session. Answers come with their bodies unread, whatever their
    status; close them. :meth:`abort` ends everything that is under way, from any thread.
    """

    def __init__(
        self, registry: Registry, network: Network, sign: Sign, *, bearer: str | None = None
    ) -> None:
        """``bearer`` is a token that is there from the beginning."""
        self.registry = registry
        self._network = network
        self._guard = Guard(registry, network)
        self._sign = sign
        self._token = bearer
        self._lock = threading.Lock()
        self._wires: dict[tuple[str, str | None], Wire] = {}
        self._sockets = Sockets()
        self.stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; no thread may be using them."""
        for wire in self._wires.values():
            wire.close()

    def abort(self) -> None:
        """Make every request that is under way, and every later one, raise :class:`Aborted`."""
        self.stopped.set()
        self._sockets.cut()

    # --- requests -------------------------------------------------------------------------------

    def send(
        self,
        method: str,
        url: str | httpx.URL,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content = None,
        follow: bool = True,
    ) -> httpx.Response:
        """One answer of any status; a 401 of the registry is answered with a token once.

        With ``follow`` redirects are followed, else they are answers like others. Raises
        :class:`RegistryUnreachable` without an answer, :class:`AccessDenied` where no token can be
        had, :class:`RegistryError` where the URL must not be asked, :class:`Aborted`.
        """
        target, own = httpx.URL(url), True
        for _ in range(MAX_REDIRECTS + 1):
            own = own and origin_of(target) == self.registry.origin
            response = self._ask(method, target, dict(headers or {}), content, own)
            if not follow or response.status_code not in _REDIRECTS:
                return response
            target = self._next_hop(response)
        raise RegistryError(
            f"{method} {_shown(httpx.URL(url))}: more than {MAX_REDIRECTS} redirects"
        )

    def fetch(
        self,
        method: str,
        url: str,
        *,
        limit: int,
        headers: Mapping[str, str] | None = None,
        content: Content = None,
    ) -> tuple[httpx.Response, bytes]:
        """A small answer that is no error, with its body of at most ``limit`` bytes.

        What may pass (an overloaded server, an answer that breaks off) is tried again a few times;
        a refused connection is not. Raises as :meth:`send` and :meth:`check`.
        """
        failures = 0
        while True:
            asked = 0.0
            try:
                with closing(self.send(method, url, headers=headers, content=content)) as response:
                    if not is_passing(response.status_code):
                        self.check(response)
                        return response, read_limited(response, limit)
                    asked = retry_after(response)
                    failures += 1
                    if failures >= _QUICK.tries:
                        self.check(response)
            except (httpx.TransportError, RegistryUnreachable) as error:
                self.check_stopped()
                failures += 1
                if failures >= _QUICK.tries or not may_pass(error):
                    raise unreachable(error, method, url) from error
            self.wait(_QUICK.pause(failures, asked))

    def check(self, response: httpx.Response) -> None:
        """Raise the :class:`RegistryError` that an answer means; reads its body."""
        status = response.status_code
        if status < 400:
            return
        if status == 401:
            raise AccessDenied("unauthorized: access denied", status=status)
        if status == 404:
            raise RegistryError("file does not exist", status=status)
        text = read_limited(response, MAX_TEXT, strict=False).decode(errors="replace").strip()
        raise RegistryError(f"{status}: {text or response.reason_phrase}", status=status)

    # --- waiting and stopping ---------------------------------------------------------------------

    def check_stopped(self) -> None:
        if self.stopped.is_set():
            raise Aborted("the transfer was given up")

    def wait(self, seconds: float) -> None:
        """Sleep, but wake up with :class:`Aborted` when the transfer is given up."""
        self.stopped.wait(seconds)
        self.check_stopped()

    # --- one hop ----------------------------------------------------------------------------------

    def _ask(
        self, method: str, url: httpx.URL, headers: dict[str, str], content: Content, own: bool
    ) -> httpx.Response:
        token = self._token if own else None
        response = self._hop(method, url, headers, content, token)
        if response.status_code != 401 or not own:
            return response
        with closing(response):
            challenge = response.headers.get("www-authenticate", "")
        return self._hop(method, url, headers, content, self._new_token(challenge, url, token))

    def _hop(
        self,
        method: str,
        url: httpx.URL,
        headers: dict[str, str],
        content: Content,
        token: str | None,
    ) -> httpx.Response:
        self.check_stopped()
        self._guard.check(url)
        wire = self._wire(url)
        sent = {"accept": "*/*", **headers}
        sent |= {"accept-encoding": "identity", "user-agent": self._network.user_agent}
        if token:
            sent["authorization"] = f"Bearer {token}"
        body = content() if callable(content) else content
        try:
            timeout = httpx.Timeout(self._network.stall, connect=self._network.connect).as_dict()
            request = httpx.Request(
                method, url, headers=sent, content=body, extensions={"timeout": timeout}
            )
            response = wire.handle_request(request)
        except (httpx.TransportError, ssl.SSLError, OSError) as error:
            self.check_stopped()
            raise unreachable(error, method, url) from error
        except (httpx.InvalidURL, ValueError) as error:
            raise RegistryError(f"{method} {_shown(url)}: {error}") from error
        response.request = request
        return response

    def _next_hop(self, response: httpx.Response) -> httpx.URL:
        with closing(response):
            place = response.headers.get("location", "")
        try:
            if not place:
                raise ValueError("no place is given")
            return joined(response.request.url, place)
        except ValueError as error:
            asked = _shown(response.request.url)
            raise RegistryError(f"the redirect of {asked} cannot be followed: {error}") from error

    def _new_token(self, header: str, asked: httpx.URL, refused: str | None) -> str:
        """A token instead of ``refused``; of several threads that need one, one gets it."""
        with self._lock:
            if self._token is not None and self._token != refused:
                return self._token
        url = token_url(parse_challenge(header), asked)
        signed = {"authorization": signature(url, self._sign)}
        with closing(self._hop("GET", url, signed, None, None)) as response:
            if response.status_code != 200:
                raise AccessDenied("unauthorized: access denied", status=response.status_code)
            token = read_token(read_limited(response, MAX_TEXT))
        with self._lock:
            self._token = token
        return token

    # --- connections ------------------------------------------------------------------------------

    def _wire(self, url: httpx.URL) -> Wire:
        """The connections that lead to ``url``."""
        proxy = proxy_for(url)
        way = (url.scheme, proxy)
        with self._lock:
            if way not in self._wires:
                try:
                    self._wires[way] = self._new_wire(url.scheme, proxy)
                except ValueError as error:
                    raise RegistryError(
                        f"the proxy for {url.scheme} cannot be used: {error}"
                    ) from error
            return self._wires[way]

    def _new_wire(self, scheme: str, proxy: str | None) -> Wire:
        encrypted = scheme == "https" or (proxy or "").startswith("https:")
        return Wire(
            self._sockets,
            self._check_peer(scheme) if proxy is None else None,
            _trusted_roots() if encrypted else None,
            proxy,
        )

    def _check_peer(self, scheme: str) -> CheckPeer:
        """A name may have another address by now than when the guard looked."""

        def check(host: str, port: int, address: str) -> None:
            self._guard.check_addresses(httpx.URL(scheme=scheme, host=host, port=port), [address])
            self.check_stopped()

        return check


@contextlib.contextmanager
def closing(response: httpx.Response) -> Iterator[httpx.Response]:
    try:
        yield response
    finally:
        response.close()


def read_limited(response: httpx.Response, limit: int, *, strict: bool = True) -> bytes:
    """The body, of which more than ``limit`` bytes are an error, or cut off if not ``strict``."""
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) > limit:
            if strict:
                asked = _shown(response.request.url)
                raise RegistryError(f"the answer of {asked} is longer than {limit} bytes")
            break
    return bytes(body[:limit])


def unreachable(error: Exception, method: str, url: str | httpx.URL) -> RegistryUnreachable:
    """``error``, which kept an answer from coming, in words."""
    if isinstance(error, RegistryUnreachable):
        return error
    words: dict[type[Exception], str] = {
        httpx.ConnectTimeout: "no connection in time",
        httpx.ReadTimeout: "no answer in time",
        httpx.ProxyError: "the proxy refuses",
    }
    reason = words.get(type(error), "") or str(error) or type(error).__name__
    return RegistryUnreachable(f'{method.capitalize()} "{_shown(httpx.URL(url))}": {reason}')


def may_pass(error: BaseException) -> bool:
    """Whether trying again soon makes sense: not if there was not even a connection."""
    cause = error.__cause__ if isinstance(error, RegistryUnreachable) else error
    return isinstance(cause, httpx.TransportError) and not isinstance(
        cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError
    )


def _trusted_roots() -> ssl.SSLContext:
    """The roots of the system (and ``SSL_CERT_FILE``), and the bundle that is installed with us."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def _shown(url: httpx.URL) -> str:
    """``url`` without what may be secret."""
    return str(url.copy_with(query=None, fragment=None, username=None, password=None))
