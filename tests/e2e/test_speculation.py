"""Drafts on real memory: answers are those without, token by token and as a distribution."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.native import tiny
from tests.native.steps import last_logits

from pyollama import builtin
from pyollama._native import Context, Model
from pyollama.engine.engine import Engine
from pyollama.engine.generator import Generator
from pyollama.engine.job import Job
from pyollama.engine.native_backend import NativeBackend
from pyollama.engine.spec import LoadSpec
from pyollama.engine.speculation.model_drafter import ModelDrafter
from pyollama.engine.speculation.policy import DraftPolicy, Prospect
from pyollama.engine.speculation.speculator import Speculator
from pyollama.types import EngineEvent, Finished, GenerateRequest, SamplingParams, Tokens, Usage

N_CTX = 256
N_OUT = 60
TEXTS = [
    "Once upon a time there was a little dog. The dog",
    "A list: one red ball, one blue ball, one red ball, one blue ball, one red",
    "The cat sat on the mat. The cat sat on the mat. The cat",
    "User: What is the capital of France?",
]


class Always(DraftPolicy):
    """Drafts as much as there is, up to five tokens: what it costs does not matter here."""

    def lengths(self, prospects: Sequence[Prospect], max_rows: int) -> list[int]:
        return [min(len(prospect.chances), 5) for prospect in prospects]


@dataclass(frozen=True)
class Answer:
    tokens: list[int]
    usage: Usage


def run(
    backend: NativeBackend, requests: Sequence[GenerateRequest], speculator: Speculator | None
) -> list[Answer]:
    events: list[EngineEvent] = []
    generator: Generator[Any] = Generator(backend, events.append, None, speculator)
    jobs: list[Job[Any]] = [Job(request, N_CTX, submitted=0) for request in requests]
    for job in jobs:
        generator.add(job)
    while generator.busy:
        generator.step()
    generator.reset()
    usage = {event.id: event.usage for event in events if isinstance(event, Finished)}
    tokens = [job.sequence.tokens[job.sequence.n_prompt :].tolist() for job in jobs]
    return [Answer(said, usage[job.request.id]) for said, job in zip(tokens, jobs, strict=True)]


class Careless(ModelDrafter[Any]):
    """Gets every third token wrong."""

    def draft(self, wanted: Sequence[tuple[Any, int]]) -> list[array[int]]:
        drafts = super().draft(wanted)
        for draft in drafts:
            draft[2::3] = array("i", [7] * len(draft[2::3]))
        return drafts


@pytest.fixture(scope="module")
def spec() -> LoadSpec:
    """The built-in model, whose logits hardly depend on the batch that they are computed in."""
    path = str(builtin.FOLDER / "model.gguf")
    return LoadSpec(path=path, n_ctx=N_CTX, n_slots=4, n_threads=1, n_ubatch=64)


@pytest.fixture(scope="module")
def backend(spec: LoadSpec) -> Iterator[NativeBackend]:
    backend = NativeBackend(spec)
    yield backend
    backend.close()


def asking(backend: NativeBackend, temperature: float, **fields: Any) -> list[GenerateRequest]:
    return [
        GenerateRequest(
            str(n),
            backend.model.tokenize(text).tolist(),
            SamplingParams(temperature=temperature, seed=n + 1),
            max_tokens=N_OUT,
            ignore_eos=True,
            **fields,
        )
        for n, text in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("drafter", [None, ModelDrafter, Careless])
def test_the_same_tokens_as_without(
    spec: LoadSpec,
    backend: NativeBackend,
    temperature: float,
    drafter: type[ModelDrafter[Any]] | None,
) -> None:
    plain = run(backend, asking(backend, temperature, max_draft=0), None)
    model = drafter(NativeBackend(spec)) if drafter is not None else None
    speculator = Speculator(N_CTX, model, Always())
    drafted = run(backend, asking(backend, temperature), speculator)
    speculator.close()
    assert [answer.tokens for answer in drafted] == [answer.tokens for answer in plain]
    drafts = sum(answer.usage.draft_tokens for answer in drafted)
    accepted = sum(answer.usage.accepted_tokens for answer in drafted)
    assert 0 < accepted <= drafts
    if drafter is ModelDrafter and not temperature:
        assert accepted > 2 * N_OUT
    if drafter is Careless:
        assert accepted < drafts / 2


def test_the_distribution_is_that_of_the_logits(tmp_path: Path) -> None:
    """Three tokens: the second one is drafted, and right about as often as not."""
    path = tiny.llama_like(tmp_path / "llama.gguf")
    spec = LoadSpec(path=str(path), n_ctx=N_CTX, n_slots=4, n_threads=1, n_ubatch=64)
    prompt = [(7 * n) % 200 for n in range(60)]
    params = SamplingParams(temperature=1.5, top_k=2, top_p=1.0)
    requests = [
        GenerateRequest(str(seed), prompt, msgspec.structs.replace(params, seed=seed), max_tokens=3)
        for seed in range(400)
    ]
    backend, speculator = NativeBackend(spec), Speculator(N_CTX, model_for(spec), Always())
    answers = run(backend, requests, speculator)
    speculator.close()
    backend.close()
    accepted = sum(answer.usage.accepted_tokens for answer in answers)
    assert 80 < accepted < 320
    expected = chances(path, prompt, 3, params)
    counts = Counter(tuple(answer.tokens) for answer in answers)
    assert counts.keys() <= expected.keys()
    wanted = {tokens: chance * len(requests) for tokens, chance in expected.items()}
    chi_square = sum((counts[tokens] - n) ** 2 / n for tokens, n in wanted.items())
    assert chi_square < 24.3, "exceeded once in a thousand with 7 degrees of freedom"


def model_for(spec: LoadSpec) -> ModelDrafter[Any]:
    return ModelDrafter(NativeBackend(spec))


def chances(
    path: Path, prompt: list[int], length: int, params: SamplingParams
) -> dict[tuple[int, ...], float]:
    """Of every answer of ``length`` tokens, from the bare logits."""
    found: dict[tuple[int, ...], float] = {(): 1.0}
    with Model(path) as model, Context(model, n_ctx=N_CTX, n_threads=1) as context:
        for _ in range(length):
            longer = {}
            for said, chance in found.items():
                context.seq_rm(0, -1, -1)
                logits = last_logits(context, [*prompt, *said])
                tokens = np.argsort(logits)[-params.top_k :]
                weights = np.exp((logits[tokens] - logits.max()) / params.temperature)
                for token, weight in zip(tokens.tolist(), weights / weights.sum(), strict=True):
                    longer[*said, token] = chance * float(weight)
            found = longer
    return found


def test_memory_that_cannot_be_cut_has_no_drafts(tmp_path: Path) -> None:
    backend = NativeBackend(LoadSpec(path=str(tiny.mamba_like(tmp_path / "m.gguf")), n_ctx=N_CTX))
    request = GenerateRequest("a", [5, 6, 7, 8] * 6, max_tokens=N_OUT, ignore_eos=True)
    (answer,) = run(backend, [request], Speculator(N_CTX, None, Always()))
    backend.close()
    assert (len(answer.tokens), answer.usage.draft_tokens) == (N_OUT, 0)


async def test_a_draft_model_is_loaded_with_its_model(
    spec: LoadSpec, backend: NativeBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that does not suit is left out, and the log says why."""
    (expected,) = run(backend, asking(backend, 0.0, max_draft=0)[:1], None)
    drafts = {
        "": spec.path,
        "cannot be loaded": str(tiny.bert_like(tmp_path / "bert.gguf")),
        "has a memory that cannot be cut": str(tiny.mamba_like(tmp_path / "mamba.gguf")),
    }
    for problem, path in drafts.items():
        caplog.clear()
        with caplog.at_level(logging.WARNING, "pyollama.engine.speculation"):
            engine = Engine.load(msgspec.structs.replace(spec, draft_path=path))
            events = [event async for event in engine.generate(asking(backend, 0.0)[0])]
            await engine.close()
        said = [token for event in events if isinstance(event, Tokens) for token in event.tokens]
        assert said == expected.tokens[: len(said)] and len(said) > N_OUT - 4
        assert (problem in caplog.text) if problem else not caplog.records
