"""``python -m pyollama.convert``: one job, asked for on stdin, answered on stdout."""

from __future__ import annotations

import os
import sys
import threading

import msgspec

from pyollama.convert.job import Conversion, Job, Outcome

_NICENESS = 10


def main() -> None:
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    os.nice(_NICENESS)  # models that answer somebody go first
    job: Job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer.write(msgspec.json.encode(_outcome(job)))
    answer.close()
    os._exit(0)  # the thread above holds stdin


def _outcome(job: Job) -> Outcome:
    """Each kind of job imports what it needs and nothing else."""
    if isinstance(job, Conversion):
        from pyollama.convert import converting

        return converting.run(job)
    from pyollama.convert import quantizing

    return quantizing.run(job)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
