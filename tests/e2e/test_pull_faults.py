"""Pulling from Docker's registry through a front that fails in every way a network can."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.planting import Planted, plant
from tests.e2e.registry_server import GuardedRegistry, guarded_registry

from pyollama.errors import Aborted, AccessDenied, DigestMismatch, RegistryError
from pyollama.store.name import Name
from pyollama.store.registry.address import Network, Registry
from pyollama.store.registry.keys import Key, load_key
from pyollama.store.registry.pull import Pull
from pyollama.store.registry.remote import RegistryModel
from pyollama.store.registry.session import Session
from pyollama.store.store import Store
from pyollama.types import Progress

MB = 1 << 20
SIZE = 40 * MB + 12_345  # three parts
PART = 16 * MB
BLOBS = "/blobs/sha256:"


class World:
    """A registry with one model, and an empty store. ``network`` gives up on silence early."""

    def __init__(self, registry: GuardedRegistry, model: Planted, store: Store, key: Key) -> None:
        self.registry = registry
        self.record = registry.proxy.record
        self.add = registry.proxy.add
        self.model = model
        self.store = store
        self.key = key
        self.name = Name.parse(f"{registry.host}/space/model")
        self.network = Network(stall=2.0)

    def remotes(self, name: Name, insecure: bool) -> Iterator[RegistryModel]:
        plain = self.registry.url.startswith("http:")
        registry = Registry(self.registry.url, trusted=True, plain=plain)
        yield RegistryModel(Session(registry, self.network, self.key.sign), name)

    def pull(self, *, limit: int = 0) -> Pull:
        return Pull(self.store, self.remotes, self.name, limit=limit)

    def run(self) -> list[Progress]:
        return list(self.pull().steps())

    def is_complete(self) -> bool:
        """Whether the model is there byte for byte, and nothing else."""
        blobs = self.store.blobs.folder
        files = {path.name.replace("-", ":", 1): path.read_bytes() for path in blobs.iterdir()}
        found = self.store.resolve(str(self.name))
        return files == self.model.blobs and found.digest == self.model.digest

    @property
    def fetched(self) -> int:
        """Bytes of the weights that were sent."""
        path = f"{BLOBS}{self.model.weights[7:]}|/cdn/{self.model.weights}"
        return sum(seen.sent for seen in self.record.requests("GET", path))


def make_world(
    registry: GuardedRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name, value in registry.environment.items():
        monkeypatch.setenv(name, value)
    model = plant(registry.storage, "space/model", SIZE)
    registry.proxy.record.clear()
    yield World(registry, model, Store(folder / "models"), load_key(folder / "keys"))
    registry.proxy.record.clear()


@pytest.fixture(scope="module")
def tls_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRegistry]:
    with guarded_registry(tmp_path_factory.mktemp("tls")) as running:
        yield running


@pytest.fixture(scope="module")
def plain_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRegistry]:
    folder = tmp_path_factory.mktemp("plain")
    with guarded_registry(folder, tls=False, with_tokens=False) as running:
        yield running


@pytest.fixture
def world(
    tls_registry: GuardedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Behind TLS and tokens."""
    yield from make_world(tls_registry, tmp_path, monkeypatch)


@pytest.fixture
def plain(
    plain_registry: GuardedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Over plain HTTP, without tokens."""
    yield from make_world(plain_registry, tmp_path, monkeypatch)


def test_a_pull_tells_each_step_and_never_goes_back(world: World) -> None:
    steps = world.run()
    short = {digest: f"pulling {digest[7:19]}" for digest in world.model.blobs}
    told = list(dict.fromkeys(step.status for step in steps))
    after = ["verifying sha256 digest", "writing manifest", "success"]
    assert told == ["pulling manifest", *short.values(), *after]
    for digest, data in world.model.blobs.items():
        counts = [step.completed for step in steps if step.digest == digest]
        assert counts == sorted(counts)
        assert counts[-1] == len(data)
        assert {step.total for step in steps if step.digest == digest} == {len(data)}
    assert world.is_complete()
    assert world.fetched == SIZE


def test_what_is_there_is_not_fetched_again(world: World) -> None:
    world.run()
    world.record.clear()
    steps = world.run()
    assert world.fetched == 0
    assert [step.completed for step in steps if step.digest] == [
        len(data) for data in world.model.blobs.values()
    ]


def test_an_older_version_leaves_nothing_behind(world: World) -> None:
    world.run()
    newer = plant(world.registry.storage, "space/model", 1000, seed=1)
    world.model = newer
    steps = world.run()
    assert [step.status for step in steps[-3:]] == [
        "writing manifest",
        "removing unused layers",
        "success",
    ]
    assert world.is_complete()


def test_one_token_is_enough(world: World) -> None:
    world.run()
    assert len(world.record.requests("GET", "/token")) == 1
    first, *others = world.record.requests("GET", "/v2/")
    assert not first.authorization
    assert all(seen.authorization.startswith("Bearer ") for seen in others)


@pytest.mark.parametrize(("fixture", "kind"), [("world", "cut"), ("plain", "truncate")])
@pytest.mark.parametrize("at", [0, 5 * MB, PART, SIZE - 1])
def test_a_broken_connection_costs_what_was_on_its_way(
    request: pytest.FixtureRequest, fixture: str, kind: str, at: int
) -> None:
    world: World = request.getfixturevalue(fixture)
    world.add(kind, at=at)
    world.run()
    assert world.is_complete()
    assert world.fetched <= SIZE + 8 * MB  # of which most was in the buffers of the system


def test_silence_is_not_waited_for(world: World) -> None:
    world.add("stall", at=20 * MB)
    world.run()
    assert world.is_complete()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_that_pass(world: World, status: int) -> None:
    world.add("answer", path="/manifests/", status=status)
    world.add("answer", path=BLOBS, status=status, times=2)
    world.run()
    assert world.is_complete()


def test_a_server_that_asks_for_a_pause_gets_it(world: World) -> None:
    world.add("answer", status=429, headers={"retry-after": "2"})
    begin = time.monotonic()
    world.run()
    assert time.monotonic() - begin >= 2
    assert world.is_complete()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "400: no such luck"),
        (403, "403: no such luck"),
        (404, "file does not exist"),
        (412, "412: no such luck"),
    ],
)
def test_errors_that_stay(world: World, status: int, message: str) -> None:
    world.add("answer", path="/manifests/", status=status, body=b"no such luck\n", times=None)
    with pytest.raises(RegistryError, match=f"^pull model manifest: {message}$"):
        world.run()
    assert not world.store.blobs.folder.exists() or not list(world.store.blobs.folder.iterdir())


def test_a_blob_that_is_gone(world: World) -> None:
    world.add("answer", status=404, times=None)
    with pytest.raises(RegistryError, match="file does not exist"):
        world.run()
    assert not world.store.list()


def test_a_token_that_runs_out_is_renewed(world: World) -> None:
    world.add("forget", times=2)
    world.run()
    assert world.is_complete()
    assert len(world.record.requests("GET", "/token")) > 1


def test_no_token_is_an_error_in_ollamas_words(world: World) -> None:
    world.add("answer", path="/token", status=401, times=None)
    with pytest.raises(AccessDenied, match="unauthorized: access denied"):
        world.run()


def test_another_host_gets_no_credentials(world: World) -> None:
    world.add("redirect", times=None)
    world.run()
    assert world.is_complete()
    elsewhere = world.record.requests("GET", "/cdn/")
    assert len(elsewhere) >= 3
    assert not any(seen.authorization or "cookie" in seen.headers for seen in elsewhere)
    # the way is not asked for again for every part
    assert len(world.record.requests("GET", f"{BLOBS}{world.model.weights[7:]}")) == 1


def test_a_place_that_has_moved_is_looked_for_again(world: World) -> None:
    world.add("redirect", times=None)
    world.add("answer", path="/cdn/", status=403)
    world.run()
    assert world.is_complete()


def test_endless_redirects_end(world: World) -> None:
    here = {"location": f"/v2/space/model{BLOBS}{'0' * 64}"}
    world.add("answer", path=BLOBS, status=307, headers=here, times=None)
    with pytest.raises(RegistryError, match="more than 10 redirects"):
        world.run()


@pytest.mark.parametrize("place", ["", "https://", "https://a:b:c/", "ftp://example.com/"])
def test_redirects_to_nowhere(world: World, place: str) -> None:
    world.add("answer", path=BLOBS, status=307, headers={"location": place}, times=None)
    with pytest.raises(RegistryError):
        world.run()


def test_a_realm_elsewhere_gets_no_signature(world: World) -> None:
    realm = f"{world.registry.proxy.other_url}/token"
    challenge = {"www-authenticate": f'Bearer realm="{realm}",service="x"'}
    world.add("answer", path="/v2/", status=401, headers=challenge, times=None)
    with pytest.raises(RegistryError, match="does not match original host"):
        world.run()
    assert not world.record.requests("GET", "/token")


@pytest.mark.parametrize("at", [3, PART + 7, SIZE - 1])
def test_a_flipped_byte_is_found_and_put_right(plain: World, at: int) -> None:
    plain.add("flip", at=at)
    plain.run()
    assert plain.is_complete()
    assert SIZE < plain.fetched <= 2 * SIZE


def test_a_source_with_wrong_bytes_is_refused(plain: World) -> None:
    plain.add("flip", at=5, times=None)
    with pytest.raises(
        DigestMismatch, match=r"^digest mismatch, file must be downloaded again: want"
    ):
        plain.run()
    assert not any("partial" in path.name for path in plain.store.blobs.folder.iterdir())
    assert not plain.store.list()


def test_a_resumed_part_is_looked_at_first(plain: World) -> None:
    """What came before a break is the likeliest to be wrong."""
    plain.add("cut", at=PART + 6 * MB)
    plain.add("flip", at=PART + 12 * MB)
    plain.run()
    assert plain.is_complete()
    assert plain.fetched <= SIZE + 2 * PART


def test_cancelling_is_prompt_and_keeps_what_came(world: World) -> None:
    world.add("slow", rate=MB, times=None)
    pull = world.pull()
    steps = pull.steps()
    with closing(steps):
        while next(steps).completed < MB:
            pass
        pull.cancel()
        with pytest.raises(Aborted):
            list(steps)
    kept = sorted(path.name for path in world.store.blobs.folder.glob("*-partial*"))
    assert len(kept) == 4
    world.record.clear()
    world.run()
    assert world.is_complete()
    assert world.fetched < SIZE


def test_closing_the_steps_is_prompt_too(world: World) -> None:
    world.add("slow", rate=MB, times=None)
    steps = world.pull().steps()
    while next(steps).completed < MB:
        pass
    steps.close()
    world.record.clear()
    world.run()
    assert world.is_complete()


def test_two_that_share_a_store_fetch_each_blob_once(world: World) -> None:
    """As two processes would: each has its own store object and its own open files."""
    other = Pull(Store(world.store.root), world.remotes, world.name, limit=20 * MB)
    steps = other.steps()
    while next(steps).completed < 4 * MB:
        pass
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.run)
        assert list(steps)[-1] == Progress("success")
        counts = [step.completed for step in waiting.result() if step.digest == world.model.weights]
    assert counts == sorted(counts)
    assert counts[-1] == SIZE
    assert world.is_complete()
    assert world.fetched == SIZE


def test_whoever_waits_goes_on_where_the_other_one_stopped(world: World) -> None:
    other = Pull(Store(world.store.root), world.remotes, world.name, limit=20 * MB)
    steps = other.steps()
    while next(steps).completed < 4 * MB:
        pass
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.run)
        while next(steps).completed < 8 * MB:
            pass
        steps.close()
        counts = [step.completed for step in waiting.result() if step.digest == world.model.weights]
    assert counts == sorted(counts)
    assert min(count for count in counts if count) >= 8 * MB
    assert world.is_complete()


def test_a_rate_limit_holds(world: World) -> None:
    begin = time.monotonic()
    list(world.pull(limit=20 * MB).steps())
    assert time.monotonic() - begin >= 0.95 * SIZE / (20 * MB)
    assert world.is_complete()


def test_a_lying_manifest_harms_nothing(world: World) -> None:
    """It gives a blob that is there another length; the blob stays as it is."""
    world.run()
    before = world.store.blobs.path(world.model.weights).stat()
    lie = world.model.manifest.replace(str(SIZE).encode(), b"10")
    world.add("answer", path="/manifests/", status=200, body=lie, times=None)
    with pytest.raises(RegistryError, match=f"{SIZE} bytes instead of 10"):
        world.run()
    after = world.store.blobs.path(world.model.weights).stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, SIZE)
    assert hashlib.sha256(world.model.data).hexdigest() == world.model.weights[7:]


@pytest.mark.parametrize(
    "manifest", [b"", b"{}", b"[" * 100_000, b'{"schemaVersion":2,"mediaType":"x","manifests":[]}']
)
def test_what_is_no_manifest(world: World, manifest: bytes) -> None:
    world.add("answer", path="/manifests/", status=200, body=manifest, times=None)
    with pytest.raises(Exception, match=r"^pull model manifest: manifest is not valid"):
        world.run()
