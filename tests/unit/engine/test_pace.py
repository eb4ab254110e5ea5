from __future__ import annotations

from pyollama.engine.pace import BURST_SECONDS, MIN_CHUNK, SLOWDOWN, Demand, Pace

STREAMS = Demand(streams=4, fresh=0, prompts=1, prompt_tokens=8000)


def taught(decode: float, prefill: float) -> Pace:
    """After steps of ``decode`` seconds, and prompts at ``prefill`` seconds per token."""
    pace = Pace()
    for _ in range(50):
        pace.observe(decode_rows=4, prefill_rows=0, seconds=decode)
        pace.observe(decode_rows=4, prefill_rows=128, seconds=decode + 128 * prefill)
    return pace


def test_a_step_with_prefill_takes_a_bounded_multiple_of_one_without() -> None:
    chunk = taught(decode=0.1, prefill=0.001).share(512, STREAMS)
    assert 0.9 * SLOWDOWN * 0.1 <= 0.1 + chunk * 0.001 <= SLOWDOWN * 0.1


def test_chunks_never_get_tiny_and_never_exceed_the_batch() -> None:
    slow, fast = taught(decode=0.01, prefill=0.02), taught(decode=1.0, prefill=0.0001)
    assert (slow.share(512, STREAMS), fast.share(512, STREAMS)) == (MIN_CHUNK, 512)
    assert (slow.share(4, STREAMS), Pace().share(4, STREAMS)) == (4, 4)


def test_small_prefills_teach_nothing() -> None:
    pace = taught(decode=0.05, prefill=0.001)
    before = pace.share(4096, STREAMS)
    pace.observe(decode_rows=1, prefill_rows=3, seconds=9.0)
    assert pace.share(4096, STREAMS) == before


def test_prompts_have_it_all_while_nobody_streams() -> None:
    demand = Demand(streams=0, fresh=0, prompts=1, prompt_tokens=80_000)
    assert Pace().share(512, demand) == 512


def test_a_short_burst_goes_first_and_a_long_one_does_not() -> None:
    pace = taught(decode=0.1, prefill=0.001)
    short = int(BURST_SECONDS / 0.001 * 0.9)
    for streams, fresh, prompts in ((2, 0, 6), (0, 6, 2), (2, 2, 1)):
        demand = Demand(streams, fresh, prompts, short)
        assert pace.share(512, demand) == 512
        assert pace.share(512, Demand(streams, fresh, prompts, 2 * short)) < 512
    assert pace.share(512, Demand(streams=4, fresh=1, prompts=3, prompt_tokens=short)) < 512
