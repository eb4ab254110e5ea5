from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread

from pyollama.service.recent import Recent


def maker(made: list[str], value: str) -> Callable[[], str]:
    def make() -> str:
        made.append(value)
        return value

    return make


def test_makes_a_value_once() -> None:
    recent: Recent[str, str] = Recent(2)
    made: list[str] = []
    assert [recent.get("a", maker(made, "A")) for _ in range(3)] == ["A", "A", "A"]
    assert made == ["A"]


def test_forgets_what_was_used_longest_ago() -> None:
    recent: Recent[str, str] = Recent(2)
    for key in ("a", "b", "a", "c"):
        recent.get(key, maker([], key))
    assert [recent.known(key) for key in "abc"] == ["a", None, "c"]


def test_two_threads_get_the_same_value() -> None:
    recent: Recent[str, object] = Recent(2)
    both = Barrier(2)
    got: list[object] = []

    def make() -> object:
        both.wait(30)
        return object()

    threads = [Thread(target=lambda: got.append(recent.get("a", make))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got[0] is got[1]
