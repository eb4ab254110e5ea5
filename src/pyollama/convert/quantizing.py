"""One run of llama.cpp's quantisation, in the process that is there for it."""

from __future__ import annotations

from pyollama._native import quantize
from pyollama.convert import sandbox
from pyollama.convert.job import Outcome, Quantization
from pyollama.errors import PyollamaError


def run(job: Quantization) -> Outcome:
    sandbox.enter(job.max_bytes)
    try:
        quantize(job.source, job.target, job.file_type)
    except PyollamaError as error:
        return Outcome(error=error.message, hint=error.hint)
    return Outcome()
