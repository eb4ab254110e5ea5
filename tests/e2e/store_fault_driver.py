"""Does one thing to a store again and again, each time with a fault at the next of its writes.

    LD_PRELOAD=disk_faults.so python -m tests.e2e.store_fault_driver SCENARIO FOLDER

Every try is a forked process on a store of its own. After it, the store is looked at: no manifest
may name a blob that is not there with the right content, the models that were not touched are still
there, the same thing works when it is done again, and what was left over can be tidied up. Prints
one line of JSON: how many tries of each kind there were, and what was wrong.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import shutil
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from tests.e2e.disk_faults import KILL, KINDS, breaches
from tests.unit.store.conftest import WEIGHTS, gguf_bytes, model_metadata

from pyollama.errors import PyollamaError
from pyollama.store import gc
from pyollama.store.builtin import Builtin
from pyollama.store.manifest import format_manifest
from pyollama.store.manifest_tree import ManifestTree
from pyollama.store.name import Name
from pyollama.store.registry.address import Network, Registry
from pyollama.store.registry.pull import Pull
from pyollama.store.registry.remote import RegistryModel, Remote
from pyollama.store.registry.session import Session
from pyollama.store.store import Store
from pyollama.types import CreateRequest, Progress

GGUF = gguf_bytes(model_metadata(), WEIGHTS)
OTHER = gguf_bytes(model_metadata("qwen2"), WEIGHTS)
DONE, REFUSED, BROKEN = 0, 3, 4


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def open_store(root: Path) -> Store:
    return Store(root, builtin=Builtin(root.parent / "package"))


def make(store: Store, model: str, **fields: object) -> None:
    for _ in store.create(CreateRequest(model=model, **fields)):  # type: ignore[arg-type]
        pass


def create(store: Store) -> None:
    upload(store)
    make(
        store,
        "made",
        files={"x.gguf": digest(OTHER)},
        template="{{ .Prompt }}",
        system="Be brief.",
        parameters={"stop": ["END"]},
    )


def replace(store: Store) -> None:
    make(store, "old", base="base", system="Something new.")


def copy(store: Store) -> None:
    store.copy("base", "n/copied")


def copy_over(store: Store) -> None:
    store.copy("base", "old")


def copy_builtin(store: Store) -> None:
    store.copy("builtin", "shipped")


def delete(store: Store) -> None:
    if "old:latest" in {model.name.short for model in store.list()}:
        store.delete("old")


def upload(store: Store) -> None:
    with store.blobs.writer() as writer:
        for start in range(0, len(OTHER), 100):
            writer.write(OTHER[start : start + 100])
        writer.commit(digest(OTHER))


def take_in(store: Store) -> None:
    for _ in store.import_bundle(io.BytesIO((store.root.parent / "bundle").read_bytes())):
        pass


def tidy(store: Store) -> None:
    store.tidy()


def pull(store: Store) -> None:
    """From a registry of one model."""

    def places(name: Name, insecure: bool) -> Iterator[Remote]:
        base = f"http://{name.host}"
        registry = Registry(base, trusted=True, plain=True)
        session = Session(registry, Network(), lambda data: "")
        yield RegistryModel(session, name)

    with (store.root.parent / "registry").open() as file:
        name = Name.parse(f"{file.read()}/library/pulled")
    for _ in Pull(store, places, name).steps():
        pass


class RegistryHandler(BaseHTTPRequestHandler):
    """Answers with what is in ``files``, by the last part of the path."""

    files: ClassVar[dict[str, bytes]] = {}
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        data = self.files[self.path.rpartition("/")[2]]
        part, asked = data, self.headers.get("range")
        if asked:
            first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            part = data[first : last + 1]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("content-range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("content-length", str(len(part)))
        self.end_headers()
        if with_body:
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def start_registry(source: Store, model: str) -> str:
    """A registry with the model ``model`` of a store, for as long as this process lives."""
    found = source.resolve(model)
    files = {
        layer.digest: source.blobs.read(layer.digest, 1 << 20) for layer in found.manifest.blobs
    }
    RegistryHandler.files = files | {"latest": format_manifest(found.manifest)}
    server = ThreadingHTTPServer(("127.0.0.1", 0), RegistryHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


SCENARIOS: dict[str, Callable[[Store], None]] = {
    "create": create,
    "replace": replace,
    "copy": copy,
    "copy-over": copy_over,
    "copy-builtin": copy_builtin,
    "delete": delete,
    "upload": upload,
    "import": take_in,
    "tidy": tidy,
    "pull": pull,
}


def prepare(folder: Path) -> Path:
    """The store that every try begins with, beside a bundle and a built-in model."""
    root = folder / "seed" / "models"
    (root.parent / "package").mkdir(parents=True)
    (root.parent / "package" / "model.gguf").write_bytes(GGUF)
    (root.parent / "package" / "Modelfile").write_text("FROM model.gguf\nSYSTEM Shipped.\n")
    elsewhere = open_store(folder / "seed" / "elsewhere")
    create(elsewhere)
    make(elsewhere, "carried", base="made", system="From afar.")
    make(elsewhere, "plain", files={"x.gguf": digest(OTHER)})
    bundle = io.BytesIO()
    for _ in elsewhere.export(["made", "carried"], bundle):
        pass
    (root.parent / "bundle").write_bytes(bundle.getvalue())
    (root.parent / "registry").write_text(start_registry(elsewhere, "plain"))
    store = open_store(root)
    store.blobs.put(GGUF)
    make(store, "base", files={"x.gguf": digest(GGUF)})
    make(store, "old", base="base", system="Only here.", licenses=("MIT",))
    leave_behind(store)
    return root.parent


def leave_behind(store: Store) -> None:
    """What earlier runs have left, long ago."""
    orphan, _ = store.blobs.put(b"orphan")
    old = [store.blobs.path(orphan)]
    for name in ("sha256-12345", f"sha256-{'a' * 64}-partial", f"sha256-{'a' * 64}-partial-0"):
        old.append(store.blobs.folder / name)
    old += [store.root / "manifests" / ".write-1"]
    for path in old:
        path.touch()
        os.utime(path, (0, 0))


def arm(root: Path, kind: int, at: int, trace: Path) -> None:
    fault_arm = ctypes.CDLL(None).fault_arm
    fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_char_p]
    fault_arm(str(root).encode(), at, kind, str(trace).encode())


def attempt(work: Callable[[Store], None], root: Path, kind: int, at: int, trace: Path) -> int:
    """Run ``work`` in a process of its own; its exit status, or the negative signal."""
    child = os.fork()
    if child == 0:
        status = BROKEN
        try:
            store = open_store(root)
            arm(root, kind, at, trace)
            work(store)
            status = DONE
        except PyollamaError:
            status = REFUSED
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def faulty(store: Store) -> list[str]:
    return [
        f"{found.subject}: {found.problem}"
        for found in store.verify()
        if not isinstance(found, Progress) and found.problem
    ]


def untidy(store: Store) -> list[str]:
    """What is still there that belongs to no model, once all of it is old and tidied up."""
    manifests = store.root / "manifests"
    for path in [*store.blobs.folder.iterdir(), *manifests.glob(".*")]:
        os.utime(path, (0, 0), follow_symlinks=False)
    store.tidy()
    needed = gc.referenced(ManifestTree(manifests))
    kept = {path.name for path in store.blobs.folder.iterdir()} - needed
    return sorted(kept | {path.name for path in manifests.glob(".*")})


def wrongs(work: Callable[[Store], None], root: Path, status: int, kind: int) -> list[str]:
    """What is wrong with the store after a try that ended with ``status``."""
    expected = {-9} if kind == KILL else {DONE, REFUSED}
    if work is pull:  # threads write it, not always as often
        expected |= {DONE}
    found = [] if status in expected else [f"the process ended with {status}"]
    store = open_store(root)
    found += faulty(store)
    store.resolve("base")
    if work not in (delete, copy_over, replace) and store.resolve("old").system != "Only here.":
        found.append("the model that was not touched is another one")
    work(store)
    found += [f"when done again: {text}" for text in (*faulty(store), *untidy(store))]
    for model in store.list():
        store.resolve(model.name.short)
    return found


def main(scenario: str, folder: Path) -> None:
    seed, work = prepare(folder), SCENARIOS[scenario]
    tries: Counter[str] = Counter()
    problems: list[str] = []
    trace = folder / "trace"

    def run(kind: int, at: int) -> tuple[int, Path]:
        home = folder / "try"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(seed, home)
        return attempt(work, home / "models", kind, at, trace), home / "models"

    status, root = run(KILL, 0)
    lines = trace.read_text()
    problems += [] if status == DONE else [f"without a fault it ends with {status}"]
    problems += breaches(lines, root)
    for name, kind in KINDS.items():
        for at in range(1, len(lines.splitlines()) + 1):
            status, root = run(kind, at)
            tries[name] += 1
            problems += [f"{name} at {at}: {text}" for text in wrongs(work, root, status, kind)]
    print(json.dumps({"tries": tries, "problems": problems}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
