from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from pyollama import log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (None, "pyollama", log.NATIVE)]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.parametrize(
    ("debug", "shown"),
    [
        (0, ["ours info", "native warning"]),
        (1, ["ours debug", "ours info", "native info", "native warning"]),
        (2, ["ours debug", "ours info", "native debug", "native info", "native warning"]),
    ],
)
def test_debug_shows_more(debug: int, shown: list[str]) -> None:
    stream = io.StringIO()
    log.set_up(debug, stream)
    logging.getLogger("elsewhere").info("not ours")
    logging.getLogger("pyollama.x").debug("ours debug")
    logging.getLogger("pyollama.x").info("ours info")
    lines = [(10, "native debug"), (20, "native info"), (30, "native warning")]
    log.forward_native(lambda: lines)
    assert [line.split(": ", 1)[1] for line in stream.getvalue().splitlines()] == shown


def test_a_line_says_when_and_from_where() -> None:
    stream = io.StringIO()
    log.set_up(0, stream)
    logging.getLogger("pyollama.runtime").warning("100 %s", "%")
    when, level, name, text = stream.getvalue().split(maxsplit=3)
    assert when.endswith("+00:00")
    assert (level, name, text) == ("WARNING", "pyollama.runtime:", "100 %\n")
