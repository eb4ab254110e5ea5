"""Log-probabilities of prompts: of every token but the first, whatever else is going on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from tests.unit.engine.simulated import SimulatedBackend, SimulatedSampler

from pyollama.engine.generator import Generator
from pyollama.engine.job import Job
from pyollama.errors import Aborted, NativeError
from pyollama.types import EngineEvent, Finished, GenerateRequest

LONG = [1 + n % 30 for n in range(50)]
OTHER = [*LONG[:40], 3, 2, 1]


@dataclass
class Bench:
    backend: SimulatedBackend = field(default_factory=SimulatedBackend)

    def __post_init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.generator: Generator[SimulatedSampler] = Generator(self.backend, self.events.append)

    def run(self, *requests: GenerateRequest) -> dict[str, Finished]:
        for request in requests:
            self.generator.add(Job(request, self.backend.info.n_ctx, submitted=0))
        while self.generator.busy:
            self.generator.step()
        return {event.id: event for event in self.events if isinstance(event, Finished)}


def scored(name: str, tokens: list[int], max_tokens: int = 0) -> GenerateRequest:
    return GenerateRequest(name, tokens, max_tokens=max_tokens, prompt_logprobs=True)


def logprobs(end: Finished) -> list[float]:
    values: list[float] = np.frombuffer(end.prompt_logprobs, np.float32).tolist()
    return values


def expected(tokens: list[int]) -> list[float]:
    """What the simulated model says to each token after those before it."""
    digest, values = b"", []
    for token, following in pairwise(tokens):
        digest = hashlib.md5(digest + token.to_bytes(4, "little")).digest()
        number = 1 + int.from_bytes(digest[:4], "little")
        values.append(float(-(number % 1000) - following))
    return values


def test_of_every_token_but_the_first() -> None:
    ends = Bench().run(scored("a", LONG), scored("one", [5]))
    assert logprobs(ends["a"]) == expected(LONG)
    assert ends["one"].prompt_logprobs == b""
    assert ends["a"].usage.completion_tokens == 0


def test_with_an_answer_that_is_as_ever() -> None:
    plain = GenerateRequest("a", LONG, max_tokens=6)
    asked = scored("a", LONG, 6)
    (with_scores,) = Bench().run(asked).values()
    (without,) = Bench().run(plain).values()
    assert logprobs(with_scores) == expected(LONG)
    assert without.prompt_logprobs == b""
    assert with_scores.usage.completion_tokens == without.usage.completion_tokens == 6


def test_in_company_and_with_the_prefix_in_the_cache() -> None:
    ends = Bench(SimulatedBackend()).run(
        GenerateRequest("plain", LONG, max_tokens=9),
        scored("a", LONG, 4),
        scored("b", OTHER),
        GenerateRequest("later", OTHER, max_tokens=2),
    )
    assert logprobs(ends["a"]) == expected(LONG)
    assert logprobs(ends["b"]) == expected(OTHER)
    assert ends["a"].usage.cached_tokens == ends["b"].usage.cached_tokens == 0
    assert ends["later"].usage.cached_tokens > 0


def test_when_requests_have_to_give_way_and_decodes_are_aborted() -> None:
    backend = SimulatedBackend(n_ctx=128, cells=150)
    backend.script = [6] * 90
    backend.failures = [None, Aborted("meanwhile"), None, Aborted("again")]
    bench = Bench(backend)
    ends = bench.run(scored("a", LONG[:20], 80), scored("b", OTHER[20:], 80))
    assert bench.generator.preemptions > 0
    assert logprobs(ends["a"]) == expected(LONG[:20])
    assert logprobs(ends["b"]) == expected(OTHER[20:])


def test_a_failed_request_has_none() -> None:
    bench = Bench()
    bench.backend.failures = [NativeError("broken")]
    assert bench.run(scored("a", LONG)) == {}
