"""Pushing to Docker's registry when things go wrong on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.registry_server import GuardedRegistry, guarded_registry

from pyollama.errors import AccessDenied, DigestMismatch, PyollamaError, RegistryError, StoreError
from pyollama.store.manifest import CONFIG_TYPE, MODEL, Layer, Manifest, format_manifest
from pyollama.store.name import Name
from pyollama.store.registry.address import Network, registries_for
from pyollama.store.registry.keys import Key, load_key
from pyollama.store.registry.push import Push
from pyollama.store.registry.remote import RegistryModel
from pyollama.store.registry.session import Session
from pyollama.store.registry.upload import Upload
from pyollama.store.registry.upload_parts import PartSender
from pyollama.store.store import Store
from pyollama.types import Progress

PART = 1_000_000
UPLOADS = "/blobs/uploads/"


@dataclass
class World:
    """A store, a registry that only lets in who has signed, and the way between them."""

    registry: GuardedRegistry
    store: Store
    key: Key

    stall: float = 60.0
    """Seconds without a sign of life after which a request counts as failed."""

    def open(self, name: Name, insecure: bool = False) -> Session:
        network = Network(private_hosts=("127.0.0.1", "localhost"), stall=self.stall)
        place = registries_for(name, network, insecure=insecure)[-1]
        return Session(place, network, self.key.sign)

    def blob(self, size: int = 5 * PART - 1) -> Layer:
        digest, _ = self.store.blobs.put(os.urandom(size))
        return Layer(MODEL, digest, size)

    def model(self, text: str, *layers: Layer) -> bytes:
        """A model in the store; its manifest."""
        config, _ = self.store.blobs.put(os.urandom(100))
        data = format_manifest(Manifest(Layer(CONFIG_TYPE, config, 100), layers))
        path = self.store.root.joinpath("manifests", *self.name(text).parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data

    def name(self, text: str) -> Name:
        return Name.parse(f"{self.registry.host}/{text}")

    def upload(self, layer: Layer, text: str = "space/model") -> None:
        """Send a blob, in parts of :data:`PART` bytes."""
        with self.open(self.name(text)) as session:
            path = self.store.blobs.require(layer.digest)
            Upload(session, self.name(text), layer, path, part=PART).run()
        assert self.sent(layer)

    def sent(self, layer: Layer) -> bool:
        """Whether the registry has the blob, byte for byte."""
        there, here = self.registry.proxy.blob(layer.digest), self.store.blobs.path(layer.digest)
        return there.exists() and there.read_bytes() == here.read_bytes()

    def push(self, text: str) -> list[Progress]:
        return list(Push(self.store, self.open, f"{self.registry.host}/{text}").steps())

    def pushed(self, text: str) -> bytes:
        """The manifest as the registry gives it."""
        with self.open(self.name(text)) as session:
            return RegistryModel(session, self.name(text)).fetch_manifest()

    def received(self, method: str, path: str = UPLOADS) -> list[int]:
        """The sizes of the bodies that came."""
        return [seen.received for seen in self.registry.proxy.record.requests(method, path)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRegistry]:
    with guarded_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def world(
    registry: GuardedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name, value in registry.environment.items():
        monkeypatch.setenv(name, value)
    registry.proxy.record.clear()
    yield World(registry, Store(tmp_path / "models"), load_key(tmp_path / "keys"))
    registry.proxy.record.clear()


def test_sends_blobs_once_and_the_manifest_last(world: World) -> None:
    layer, small = world.blob(), world.blob(1)
    manifest = world.model("space/model", layer, small, layer)
    steps = world.push("space/model")
    assert [step.status for step in steps[:1]] == ["retrieving manifest"]
    assert [step.status for step in steps[-2:]] == ["pushing manifest", "success"]
    blobs = [step for step in steps if step.digest]
    assert {step.status for step in blobs} == {f"pushing {step.digest[7:19]}" for step in blobs}
    completed = [step.completed for step in blobs if step.digest == layer.digest]
    assert completed == sorted(completed)
    assert completed[-1] == blobs[0].total == layer.size
    assert world.sent(layer) and world.sent(small)
    assert world.pushed("space/model") == manifest
    done = [seen for seen in world.registry.proxy.record.requests() if seen.status in (201, 202)]
    assert [seen.method for seen in done] == ["POST", "PATCH", "PUT"] * 3 + ["PUT"]
    assert done[-1].path == "/v2/space/model/manifests/latest"


def test_sends_nothing_that_is_there(world: World) -> None:
    layer = world.blob()
    world.model("space/model", layer)
    world.push("space/model")
    world.registry.proxy.record.clear()
    world.push("space/model")
    assert world.received("PATCH") == []
    done = world.registry.proxy.record.requests("PUT")
    assert {seen.path for seen in done} == {"/v2/space/model/manifests/latest"}


def test_an_empty_blob_can_be_sent(world: World) -> None:
    world.upload(world.blob(0))


def test_what_the_parent_has_is_taken_from_there(world: World) -> None:
    layer = world.blob()
    world.model("parents/one", layer)
    world.push("parents/one")
    inherited = Layer(layer.media_type, layer.digest, layer.size, f"{world.name('parents/one')}")
    world.registry.proxy.record.clear()
    manifest = world.model("space/child", inherited)
    world.push("space/child")
    assert world.received("PATCH") == [100]  # the config
    assert world.pushed("space/child") == manifest


def test_a_parent_elsewhere_is_not_asked(world: World) -> None:
    layer = world.blob()
    world.upload(Layer(MODEL, layer.digest, layer.size, "llama3:8b"))
    assert all("from=" not in seen.path for seen in world.registry.proxy.record.requests("POST"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refused_part_is_sent_again_and_no_other(world: World, status: int) -> None:
    refusal = world.registry.proxy.add(
        "answer", method="PATCH", path=UPLOADS, status=status, headers={"retry-after": "1"}, times=0
    )
    original = PartSender.add
    parts: list[int] = []

    def add(self: PartSender, place: str, part: tuple[int, int]) -> tuple[str, int]:
        parts.append(part[0])
        refusal.times = int(len(parts) == 3)
        return original(self, place, part)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PartSender, "add", add)
        world.upload(world.blob())
    assert parts == [0, PART, 2 * PART, 2 * PART, 3 * PART, 4 * PART]


def test_a_cut_connection_costs_a_session_and_nothing_else(world: World) -> None:
    world.registry.proxy.add("cut", method="PATCH", path=UPLOADS, upload=True, at=PART // 2)
    world.upload(world.blob())


def test_a_registry_that_falls_silent_is_asked_again(world: World) -> None:
    world.stall = 1.0
    world.registry.proxy.add("stall", method="PATCH", path=UPLOADS, upload=True, at=PART // 2)
    world.upload(world.blob())


def test_a_changed_byte_is_noticed_and_sent_again(world: World) -> None:
    world.registry.proxy.add("flip", method="PATCH", path=UPLOADS, upload=True, at=PART // 2)
    world.upload(world.blob())
    assert len(world.received("PATCH")) == 10


def test_an_answer_that_is_lost_after_the_fact_does_no_harm(world: World) -> None:
    world.registry.proxy.add("lose", method="PUT", path=UPLOADS, status=502)
    world.upload(world.blob())
    assert len(world.received("PATCH")) == 5
    world.registry.proxy.add("lose", method="POST", path=UPLOADS, status=500)
    world.upload(world.blob())
    world.registry.proxy.add("lose", method="PATCH", path=UPLOADS, status=500)
    world.upload(world.blob())


def test_a_token_that_is_not_good_any_more_is_replaced(world: World) -> None:
    layer = world.blob()
    for method in ("POST", "PATCH", "PUT"):
        world.registry.proxy.add("forget", method=method, path=UPLOADS)
    world.upload(layer)
    assert world.registry.tokens is not None
    assert world.registry.tokens.refusals == []


def test_the_manifest_is_sent_again_too(world: World) -> None:
    manifest = world.model("space/again", world.blob())
    world.registry.proxy.add("answer", method="PUT", path="/manifests/", status=503)
    assert world.push("space/again")[-1].status == "success"
    assert world.pushed("space/again") == manifest


def test_parts_go_straight_to_the_object_store(world: World) -> None:
    world.registry.proxy.add("redirect", method="PATCH", path=UPLOADS, times=None)
    layer = world.blob(30 * PART)
    with world.open(world.name("space/model")) as session:
        path = world.store.blobs.require(layer.digest)
        Upload(session, world.name("space/model"), layer, path, part=11 * PART).run()
    assert world.sent(layer)
    direct = world.registry.proxy.record.requests("PUT", "^/cdn/")
    assert sorted(seen.received for seen in direct) == [8 * PART, 11 * PART, 11 * PART]
    assert all(not seen.authorization for seen in direct)
    assert {seen.host.partition(":")[0] for seen in direct} == {"localhost"}


@pytest.mark.parametrize("kind", ["answer", "cut"])
def test_a_part_that_the_object_store_loses_is_sent_again(world: World, kind: str) -> None:
    world.registry.proxy.add("redirect", method="PATCH", path=UPLOADS, times=None)
    upload = kind == "cut"
    world.registry.proxy.add(kind, method="PUT", path="^/cdn/.*/1000000$", at=10, upload=upload)
    world.upload(world.blob())
    sent = world.registry.proxy.record.requests("PUT", "^/cdn/")
    assert len(sent) == 6


def test_who_may_not_push_is_told_so(world: World) -> None:
    world.model("others/model", world.blob())
    tokens = world.registry.tokens
    assert tokens is not None
    tokens.pushers = set()
    try:
        with pytest.raises(AccessDenied, match="not authorized to push to others/model"):
            world.push("others/model")
        tokens.pushers = {world.key.public_line.split()[1]}
        assert world.push("others/model")[-1].status == "success"
    finally:
        tokens.pushers = None


def test_a_registry_that_always_fails_is_an_error_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "wait", lambda self, seconds: self.check_stopped())
    world.model("space/never", world.blob())
    world.registry.proxy.add("answer", method="PATCH", path=UPLOADS, status=500, times=None)
    with pytest.raises(RegistryError, match="max retries exceeded: 500"):
        world.push("space/never")
    with pytest.raises(PyollamaError, match="file does not exist"):
        world.pushed("space/never")


def test_a_lie_about_the_content_is_an_error_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "wait", lambda self, seconds: self.check_stopped())
    flips = {"method": "PATCH", "path": UPLOADS, "upload": True, "at": 7, "times": None}
    world.registry.proxy.add("flip", **flips)
    with pytest.raises(RegistryError, match="max retries exceeded: 400"):
        world.upload(world.blob())


def test_a_blob_that_is_damaged_on_disk_is_never_sent_as_whole(world: World) -> None:
    layer = world.blob()
    path = world.store.blobs.path(layer.digest)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(DigestMismatch, match="is damaged"):
        world.upload(layer)
    path.write_bytes(b"short")
    with pytest.raises(DigestMismatch, match="is damaged"):
        world.upload(layer)


@pytest.mark.parametrize(
    ("text", "message"),
    [("space/none", "not found"), ("a b", "unqualified name: "), ("//x", "unqualified name: ")],
)
def test_a_model_that_is_not_there_cannot_be_pushed(world: World, text: str, message: str) -> None:
    steps = Push(world.store, world.open, text).steps()
    assert next(steps).status == "retrieving manifest"
    assert next(steps).status == "couldn't retrieve manifest"
    with pytest.raises(StoreError, match=message):
        next(steps)


def test_who_leaves_ends_the_transfer(world: World) -> None:
    world.model("space/left", world.blob(20 * PART))
    steps = Push(world.store, world.open, f"{world.registry.host}/space/left").steps()
    while not next(steps).digest:
        pass
    steps.close()
    with pytest.raises(PyollamaError, match="file does not exist"):
        world.pushed("space/left")
