"""Draft lengths on simulated machines: whatever steps cost, drafting does not slow them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from pyollama.engine.speculation.acceptance import Acceptance
from pyollama.engine.speculation.policy import MAX_DRAFT, DraftPolicy, Outcome, Prospect

Curve = Callable[[int], float]

CURVES: dict[str, Curve] = {
    "each row costs the same": lambda rows: 1.0 * rows,
    "rows are free": lambda rows: 1.0 + 0.002 * rows,
    "half price": lambda rows: 0.5 + 0.5 * rows,
    "tiles of four": lambda rows: (1.25 * rows / 2) if rows % 4 == 0 else 1.0 * rows,
    "a cliff": lambda rows: 1.0 if rows <= 6 else 9.0,
    "worse and worse": lambda rows: 1.0 * rows**1.5,
    "better and better": lambda rows: 1.0 * rows**0.4,
    "a first step": lambda rows: 1.0 if rows == 1 else 6.0 + 0.05 * rows,
}


@dataclass
class Stream:
    """A text whose guesses are right with a chance that changes all the time."""

    chances: Iterator[float]
    everybody: Acceptance
    said: int = 0
    acceptance: Acceptance = field(init=False)

    def __post_init__(self) -> None:
        self.acceptance = Acceptance(self.everybody)

    def prospect(self) -> Prospect:
        return Prospect([self.acceptance.chance(4)] * MAX_DRAFT)

    def take(self, drafted: int, random: np.random.Generator) -> int:
        """How many tokens the step yields; each of them shows whether its guess was right."""
        tokens = 0
        while tokens <= drafted:
            hit = bool(random.random() < next(self.chances))
            self.acceptance.observe(4, hit)
            tokens += 1
            if not hit:
                break
        self.said += tokens
        return tokens


def moods(levels: list[float], seed: int) -> Iterator[float]:
    random = np.random.default_rng(seed)
    while True:
        level = random.choice(levels)
        yield from [level] * int(random.integers(50, 400))


def disturbances(seed: int) -> Iterator[float]:
    """Other programs come and go, and everything takes up to three times as long for a while."""
    random = np.random.default_rng(seed)
    while True:
        yield from [1.0] * int(random.integers(20, 200))
        yield from [float(random.uniform(1.0, 3.0))] * int(random.integers(5, 100))


def speed_up(curve: Curve, levels: list[float], streams: int, *, warm_up: int = 300) -> float:
    """Tokens per second with drafts, of what they are without, after ``warm_up`` tokens each."""
    random = np.random.default_rng(len(levels) + streams)
    policy, everybody = DraftPolicy(), Acceptance()
    texts = [Stream(moods(levels, n), everybody) for n in range(streams)]
    plain = measured = 0.0
    machine = disturbances(streams)
    while min(text.said for text in texts) < warm_up + 1200:
        lengths = policy.lengths([text.prospect() for text in texts], 64)
        rows = streams + sum(lengths)
        seconds = curve(rows) * random.lognormal(0, 0.1) * next(machine)
        tokens = [text.take(n, random) for text, n in zip(texts, lengths, strict=True)]
        policy.observe(Outcome(streams, rows, sum(tokens), seconds))
        if min(text.said for text in texts) > warm_up:
            measured += curve(rows)
            plain += curve(streams) * sum(tokens) / streams
    return plain / measured


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(("levels", "streams"), [([0.0], 2), ([0.6], 1), ([0.0, 0.98], 1)], ids=str)
def test_it_never_slows(curve: str, levels: list[float], streams: int) -> None:
    assert speed_up(CURVES[curve], levels, streams) > 0.96


@pytest.mark.parametrize(
    ("curve", "chance", "streams", "least"),
    [
        ("rows are free", 0.8, 1, 3.0),
        ("rows are free", 0.3, 8, 1.15),
        ("half price", 0.95, 1, 1.15),
        ("better and better", 0.9, 1, 2.0),
        ("tiles of four", 0.97, 1, 1.15),
        ("a cliff", 0.9, 1, 1.2),
        ("a first step", 0.99, 1, 2.0),
    ],
)
def test_it_finds_what_there_is_to_gain(
    curve: str, chance: float, streams: int, least: float
) -> None:
    assert speed_up(CURVES[curve], [chance], streams) > least


def test_nobody_pays_for_what_others_win() -> None:
    """A stream that has nothing to draft keeps its pace beside one whose drafts are all right."""
    policy = DraftPolicy()
    sure = Prospect([0.99] * MAX_DRAFT)
    for _ in range(300):
        lengths = policy.lengths([Prospect(), sure], 64)
        assert lengths[0] == 0
        rows = 2 + lengths[1]
        policy.observe(Outcome(2, rows, rows, 2.0 + 0.5 * (rows - 2)))
    assert policy.lengths([Prospect(), sure], 64) == [0, 0]
    assert sum(policy.lengths([sure, sure], 64)) > 0


def test_a_full_batch_has_no_drafts() -> None:
    policy = DraftPolicy()
    prospects = [Prospect([0.99] * MAX_DRAFT)] * 8
    for _ in range(50):
        assert policy.lengths(prospects, 8) == [0] * 8
        assert sum(policy.lengths(prospects, 10)) <= 2
        policy.observe(Outcome(8, 8, 8, 1.0))


def test_prompts_show_what_many_rows_cost() -> None:
    """A length that nothing is known about is only tried if that can be afforded."""
    prospect = Prospect([0.98] * MAX_DRAFT)
    tried = []
    for seconds in (1000.0, 8.0):
        policy = DraftPolicy()
        for _ in range(2):
            policy.observe_prompt(64, seconds)
            policy.observe(Outcome(1, 1, 1, 1.0))
        tried.append(policy.lengths([prospect], 64)[0])
    assert tried[0] < tried[1] == MAX_DRAFT


def test_the_time_that_drafting_takes_counts() -> None:
    for seconds, drafts in ((0.01, True), (2.0, False)):
        policy = DraftPolicy()
        prospect = Prospect([0.9] * 8, seconds)
        for _ in range(200):
            (length,) = policy.lengths([prospect], 64)
            outcome = Outcome(1, 1 + length, 1 + length * 8 // 10, 1.0, length * seconds)
            policy.observe(outcome)
        assert (policy.lengths([prospect], 64)[0] > 0) == drafts


def test_without_drafts_is_measured_again_and_again() -> None:
    """Or what they win would be reckoned against a past that is long gone."""
    policy = DraftPolicy()
    prospect = Prospect([0.9] * 8)
    plain = 0
    for _ in range(1000):
        (length,) = policy.lengths([prospect], 64)
        plain += not length
        policy.observe(Outcome(1, 1 + length, 1 + length // 2, 1.0))
    assert 8 <= plain <= 30
