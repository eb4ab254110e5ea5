"""The guidance process: grammars of strangers are compiled and followed here.

Beside the engine and not in it, because llguidance builds its vocabulary with the GIL held for
about a second, and because there are grammars on which it never comes back or takes all memory: a
process can be killed. It has no other duties and ends with its engine.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from pyollama import _native
from pyollama.engine.guidance.matchers import Matchers
from pyollama.engine.guidance.vocabulary import make_tokenizer
from pyollama.engine.guidance.wire import Open, Opened, Ready, Step

MOST_MEMORY = 1 << 30
"""Bytes for all grammars, on top of the vocabulary."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ending is the engine's decision
    opening, stepping, memory, threads = (int(text) for text in sys.argv[1:5])
    control = Connection(opening)
    try:
        with _native.Model(sys.argv[5], vocab_only=True) as model:
            matchers = Matchers(make_tokenizer(model), threads)
            _limit_memory()
            control.send_bytes(msgspec.msgpack.encode(Ready()))
            threading.Thread(target=_open, args=(control, matchers), daemon=True).start()
            _step(Connection(stepping), matchers, memory)
    except (EOFError, OSError):
        os._exit(0)  # the engine is gone
    except Exception as error:
        with contextlib.suppress(OSError):
            control.send_bytes(msgspec.msgpack.encode(Ready(str(error))))
        raise


def _open(control: Connection, matchers: Matchers) -> None:
    try:
        while True:
            asked = msgspec.msgpack.decode(control.recv_bytes(), type=Open)
            error = matchers.open(asked.id, asked.grammar)
            control.send_bytes(msgspec.msgpack.encode(Opened(error)))
    except (EOFError, OSError):
        os._exit(0)


def _step(channel: Connection, matchers: Matchers, memory: int) -> None:
    masks = mmap.mmap(memory, 0)
    address = ctypes.addressof(ctypes.c_char.from_buffer(masks))
    rows = len(masks) // matchers.row_bytes
    decoder = msgspec.msgpack.Decoder(Step)
    while True:
        step = decoder.decode(channel.recv_bytes())
        done = matchers.step(step, address, rows)
        channel.send_bytes(msgspec.msgpack.encode(done))


def _limit_memory() -> None:
    used = Path("/proc/self/statm")
    if used.exists():
        pages = int(used.read_text().split()[0])
        most = pages * resource.getpagesize() + MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
