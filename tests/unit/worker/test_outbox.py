from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from pyollama.worker import wire
from pyollama.worker.outbox import Outbox


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def serials(reader: socket.socket, count: int) -> list[int]:
    """The serials of the next ``count`` messages, all of them pongs or logs of such."""
    frames = wire.FrameReader()
    found: list[int] = []
    while len(found) < count:
        data = reader.recv(1 << 16)
        assert data, "the stream ended early"
        for body in frames.feed(data):
            message = wire.decode_from_worker(body)
            found.append(
                message.serial if isinstance(message, wire.Pong) else message.records[0][0]
            )
    return found


def long(serial: int) -> wire.Log:
    """More than a socket takes at once."""
    return wire.Log([(serial, "x" * 1_000_000)])


def test_the_caller_sends_what_fits(ends: tuple[socket.socket, socket.socket]) -> None:
    outbox = Outbox(ends[0], broken=pytest.fail)
    outbox.send(wire.Pong(1, None))
    ends[1].setblocking(False)
    assert serials(ends[1], 1) == [1], "it is there when send() returns"
    outbox.close()


def test_nobody_waits_for_a_slow_reader_and_nothing_overtakes(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    outbox = Outbox(ends[0], broken=pytest.fail)
    for serial in range(0, 20, 2):
        outbox.send(long(serial))
        outbox.send(wire.Pong(serial + 1, None))
    assert serials(ends[1], 20) == list(range(20))
    outbox.send(wire.Pong(20, None))
    assert serials(ends[1], 1) == [20]
    outbox.close()


def test_messages_of_several_threads_stay_whole(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    outbox = Outbox(ends[0], broken=pytest.fail)

    def send(first: int) -> None:
        for serial in range(first, first + 500):
            outbox.send(long(serial) if serial % 100 == 0 else wire.Pong(serial, None))

    threads = [threading.Thread(target=send, args=(first,)) for first in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    found = serials(ends[1], 1500)
    for first in (0, 1000, 2000):
        assert [s for s in found if first <= s < first + 500] == list(range(first, first + 500))
    outbox.close()


def test_closing_sends_the_rest(ends: tuple[socket.socket, socket.socket]) -> None:
    outbox = Outbox(ends[0], broken=pytest.fail)
    outbox.send(long(1))
    outbox.send(wire.Pong(2, None))
    closing = threading.Thread(target=outbox.close)
    closing.start()
    assert serials(ends[1], 2) == [1, 2]
    closing.join()


@pytest.mark.parametrize("message", [wire.Pong(1, None), long(1)], ids=["short", "long"])
def test_a_reader_that_is_gone_is_noticed(
    message: wire.FromWorker, ends: tuple[socket.socket, socket.socket]
) -> None:
    noticed = threading.Event()
    outbox = Outbox(ends[0], broken=noticed.set)
    ends[1].close()
    outbox.send(message)
    assert noticed.is_set()
    outbox.close()


def test_a_reader_that_leaves_in_the_middle_is_noticed(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    noticed = threading.Event()
    outbox = Outbox(ends[0], broken=noticed.set)
    outbox.send(long(1))
    assert not noticed.is_set()
    ends[1].close()
    noticed.wait()
    outbox.close()
