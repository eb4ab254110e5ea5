"""A worker whose engine is a few lines of Python, run as a real process by the tests.

The path of the load says how the load goes; a request counts up to ``max_tokens``, one token each
``TICK`` seconds.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass, field

from pyollama.engine.spec import LoadSpec
from pyollama.errors import InvalidRequest, ModelLoadError
from pyollama.types import (
    Embedded,
    EmbedRequest,
    EngineEvent,
    EngineInfo,
    EngineStats,
    Finished,
    GenerateRequest,
    Tokens,
    Usage,
)
from pyollama.worker.main import Sink, serve

TICK = 0.002
INFO = EngineInfo(
    n_ctx=128,
    n_ctx_train=256,
    n_slots=4,
    n_vocab=10,
    n_embd=4,
    size=1000,
    size_vram=0,
    can_shift=True,
    embeddings=False,
)


@dataclass
class FakeCore:
    sink: Sink
    info: EngineInfo = INFO
    running: dict[str, tuple[GenerateRequest, int]] = field(default_factory=dict)
    steps: int = 0
    stuck: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        threading.Thread(target=self._compute, daemon=True).start()

    def submit(self, request: GenerateRequest | EmbedRequest) -> None:
        if isinstance(request, EmbedRequest):
            vectors = b"\0\0\0\0" * len(request.inputs)
            self.sink([Embedded(request.id, vectors, 1, Usage())])
            return
        if not request.tokens:
            raise InvalidRequest("tokens: empty", field="tokens")
        if "raise" in request.stop:
            raise ZeroDivisionError("a bug")
        with self.lock:
            self.stuck = self.stuck or "stuck" in request.stop
            self.running[request.id] = (request, 0)

    def abort(self, request_id: str) -> None:
        with self.lock:
            if self.running.pop(request_id, None) is not None:
                self.sink([Finished(request_id, "aborted", Usage())])

    def stats(self) -> EngineStats:
        with self.lock:
            running = len(self.running)
        return EngineStats(
            waiting=0, running=running, slots=4, cells_used=0, cells=512, steps=self.steps
        )

    def close(self) -> None:
        pass

    def _compute(self) -> None:
        while True:
            time.sleep(TICK)
            if self.stuck:
                continue
            with self.lock:
                if events := [event for id in list(self.running) for event in self._step(id)]:
                    self.steps += 1
                    self.sink(events)

    def _step(self, request_id: str) -> list[EngineEvent]:
        request, done = self.running[request_id]
        if done == request.max_tokens:
            del self.running[request_id]
            usage = Usage(prompt_tokens=len(request.tokens), completion_tokens=done)
            return [Finished(request_id, "length", usage, limit="max_tokens")]
        self.running[request_id] = (request, done + 1)
        return [Tokens(request_id, f"{done} ", (done,))]


@dataclass
class FakeLoading:
    value: float = 0.0

    def run(self, spec: LoadSpec, sink: Sink) -> FakeCore:
        print("loading", spec.path, file=sys.stderr, flush=True)
        match spec.path:
            case "broken":
                raise ModelLoadError("broken: not a model", hint="take another")
            case "crash":
                raise ZeroDivisionError("a bug while loading")
            case path if path.startswith("sends "):
                os.write(int(sys.argv[1]), bytes.fromhex(path.removeprefix("sends ")))
                time.sleep(60)
            case "silent":
                time.sleep(60)
            case "slow":
                for part in range(6):
                    self.value = part / 6
                    time.sleep(0.45)
        return FakeCore(sink)


class FakeNative:
    def __init__(self) -> None:
        self.log = [(30, "loud"), (10, "quiet")]

    def loading(self) -> FakeLoading:
        return FakeLoading()

    def drain_log(self) -> list[tuple[int, str]]:
        lines, self.log = self.log, []
        return lines


if __name__ == "__main__":
    serve(int(sys.argv[1]), FakeNative())
