from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engine.simulated import N_VOCAB, SimulatedBackend

from pyollama.engine.embedder import Embedder
from pyollama.errors import NativeError
from pyollama.types import Embedded, EmbedRequest, EngineEvent, Failed


class Bench:
    def __init__(self, *, embeddings: bool = True) -> None:
        self.backend = SimulatedBackend(embeddings=embeddings)
        self.events: list[EngineEvent] = []
        self.embedder = Embedder(self.backend, self.events.append)

    def add(self, inputs: list[list[int]], request_id: str = "a") -> None:
        self.embedder.add(EmbedRequest(request_id, inputs), submitted=0)

    def run(self) -> dict[str, Embedded | Failed]:
        while self.embedder.busy:
            self.embedder.step()
        ends = {event.id: event for event in self.events if isinstance(event, Embedded | Failed)}
        assert len(ends) == len(self.events)
        return ends


def code(end: Embedded | Failed) -> str:
    assert isinstance(end, Failed), end
    return end.error.code


@given(
    st.lists(
        st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=30), max_size=12), max_size=5
    )
)
def test_vectors_come_in_the_order_of_the_inputs_and_batches_stay_small(
    requests: list[list[list[int]]],
) -> None:
    bench = Bench()
    for number, inputs in enumerate(requests):
        bench.add(inputs, str(number))
    ends = bench.run()
    for number, inputs in enumerate(requests):
        end = ends[str(number)]
        assert isinstance(end, Embedded)
        vectors = np.frombuffer(end.vectors, np.float32).reshape(len(inputs), end.dimensions)
        expected = [[len(text), text[0], text[-1], sum(text)] for text in inputs]
        assert vectors.tolist() == expected
        assert end.usage.prompt_tokens == sum(map(len, inputs))
    for pack in bench.backend.packs:
        assert len(pack) == 1 or sum(pack) <= bench.backend.limits.pack_rows
        assert len(pack) <= bench.backend.limits.pack_sequences


def test_texts_of_several_requests_share_a_batch() -> None:
    bench = Bench()
    bench.add([[1] * 6, [2] * 9], "a")
    bench.add([[3] * 4], "b")
    bench.run()
    assert bench.backend.packs == [[9, 6], [4]] or bench.backend.packs == [[9, 4], [6]]


def test_what_cannot_be_embedded() -> None:
    bench = Bench()
    bench.add([[1], []], "empty")
    bench.add([[1], [1] * 65], "long")
    ends = bench.run()
    assert code(ends["empty"]) == "invalid_request"
    assert code(ends["long"]) == "context_length_exceeded"


def test_a_text_model_does_not_embed() -> None:
    bench = Bench(embeddings=False)
    bench.add([[1]])
    assert code(bench.run()["a"]) == "unsupported_capability"


def test_a_failed_batch_ends_the_requests_in_it() -> None:
    bench = Bench()
    bench.backend.failures = [NativeError("broken")]
    bench.add([[1] * 16, [2] * 16], "a")
    bench.add([[3] * 16], "b")
    ends = bench.run()
    assert code(ends["a"]) == "native_error"
    assert isinstance(ends["b"], Embedded)
    assert bench.backend.packs == [[16]]


def test_an_aborted_request_is_not_computed_further() -> None:
    bench = Bench()
    bench.add([[1] * 16] * 3)
    bench.embedder.step()
    bench.embedder.abort("a")
    assert code(bench.run()["a"]) == "aborted"
    assert len(bench.backend.packs) == 1


def test_numbers_that_are_none_are_an_error() -> None:
    bench = Bench()
    bench.backend.embed = lambda inputs: np.full((len(inputs), 4), math.nan, np.float32)  # type: ignore[method-assign]
    bench.add([[1]])
    assert code(bench.run()["a"]) == "engine_error"


def test_tokens_that_do_not_exist_end_only_their_request() -> None:
    bench = Bench()
    bench.add([[1], [2, N_VOCAB]], "high")
    bench.add([[1], [-1, 2]], "low")
    bench.add([[1 << 40]], "huge")
    bench.add([[1]], "good")
    ends = bench.run()
    assert [code(ends[name]) for name in ("high", "low", "huge")] == ["invalid_request"] * 3
    assert isinstance(ends["good"], Embedded)


def test_a_small_request_does_not_wait_for_a_large_one() -> None:
    bench = Bench()
    bench.add([[1] * 16] * 10, "large")
    bench.add([[2] * 9], "small")
    bench.run()
    assert bench.backend.packs == [[16], [9], *[[16]] * 9]
