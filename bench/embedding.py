"""Texts to embed through the engine: which packs are fastest, and what is lost around them.

Packs of several sizes take turns on the same model and texts. The engine's own work (packing,
arrays, collecting vectors) is what its time exceeds that of llama.cpp's calls by. With one thread
processor time is measured, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import replace

from bench.drive import in_turn
from bench.inprocess import spec_of
from bench.options import add_common, wanted
from bench.report import Figure, figure, publish
from pyollama.engine.backend import Batch
from pyollama.engine.embedder import Embedder
from pyollama.engine.native_backend import NativeBackend
from pyollama.engine.spec import LoadSpec
from pyollama.types import Embedded, EmbedRequest, EngineEvent

_ROWS = (64, 128, 192, 256, 384, 512)
_TEXTS = (8, 16, 32, 64)
_SHORT = 6
"""Tokens of the short texts, of which a pack holds many."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common(parser, shape="minilm-l6")
    parser.set_defaults(type="F16")
    parser.add_argument("--texts", type=int, default=256, help="texts of 12 to 92 tokens")


def run(options: argparse.Namespace) -> int:
    asked = wanted(options)
    spec = spec_of(asked)
    backend = _Timed(spec, _clock(options.threads))
    rng = random.Random(0)
    lengths = [rng.randint(12, 92) for _ in range(options.texts)]
    texts = [_text(backend, rng, length) for length in lengths]
    short = [_text(backend, rng, _SHORT) for _ in range(options.texts)]
    own = backend.limits
    rates: dict[str, list[float]] = {}
    around: list[float] = []
    backend.embed_all(texts)  # pages of the file, first use of buffers
    try:
        for number in range(options.rounds):
            for rows in in_turn(_ROWS, number):
                backend.limits = replace(own, pack_rows=rows)
                seconds = backend.embed_all(texts)
                rates.setdefault(f"packs of {rows} rows", []).append(sum(lengths) / seconds)
            for most in in_turn(_TEXTS, number):
                backend.limits = replace(own, pack_sequences=most)
                seconds = backend.embed_all(short)
                rate = _SHORT * len(short) / seconds
                rates.setdefault(f"short texts, {most} in a pack", []).append(rate)
            backend.limits = own
            seconds = backend.embed_all(texts)
            around.append(100 * (seconds - backend.computing) / seconds)
    finally:
        backend.close()
    figures: list[Figure] = [figure(name, values, "tok/s") for name, values in rates.items()]
    figures.append(figure("share of the engine's own work", around, "%", at_most=3.0))
    return publish(figures, options)


def _clock(threads: int) -> Callable[[], float]:
    return time.process_time if threads == 1 else time.perf_counter


def _text(backend: NativeBackend, rng: random.Random, length: int) -> list[int]:
    most = backend.info.n_vocab
    return [rng.randrange(most // 4, most) for _ in range(length)]


class _Timed(NativeBackend):
    """``computing`` is how long the calls of llama.cpp took in the last :meth:`embed_all`."""

    computing = 0.0

    def __init__(self, spec: LoadSpec, clock: Callable[[], float]) -> None:
        super().__init__(spec)
        self._clock = clock

    def decode(self, batch: Batch) -> None:
        begin = self._clock()
        super().decode(batch)
        self.computing += self._clock() - begin

    def embed_all(self, inputs: list[list[int]]) -> float:
        """Seconds for one request with all of these texts."""
        self.computing = 0.0
        events: list[EngineEvent] = []
        embedder = Embedder(self, events.append)
        begin = self._clock()
        embedder.add(EmbedRequest("bench", inputs), 0)
        while embedder.busy:
            embedder.step()
        seconds = self._clock() - begin
        if not isinstance(events[-1], Embedded):
            raise RuntimeError(f"the texts were answered with {events[-1]}")
        return seconds
