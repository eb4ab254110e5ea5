"""A backend without a model: it keeps a KV cache honestly and continues any text in a fixed way.

Every cell holds a digest of its token and of all that was before it when it was computed, and the
next token is drawn from the digest of the last one. So a prefix that is reused wrongly, a row at a
wrong position or a cell behind a context shift that is taken for a fresh one changes the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tests.unit.engine.simulated_guidance import SimulatedGuidance

from pyollama.engine.backend import Batch, Int32s, Limits
from pyollama.engine.guidance.interface import Masks
from pyollama.errors import InvalidGrammar, InvalidRequest, NativeError, OutOfCells, PyollamaError
from pyollama.types import Adapters, EngineInfo, SamplingParams, TokenLogprob

EOG = 0
N_VOCAB = 40
PIECES = [b"", b"\xc3", b"\xa9", b"\xe6\x97", b"\xa5", b" ", *(bytes([97 + i]) for i in range(26))]


@dataclass(frozen=True, eq=False)
class Cell:
    """Compared by identity, so that shared cells are counted once."""

    token: int
    digest: bytes


@dataclass
class SimulatedSampler:
    """``fixed`` are tokens to say before what the model would say.

    It says ``fails_after`` tokens and fails then; negative: it never does.
    """

    fixed: list[int] = field(default_factory=list)
    fails_after: int = -1
    eog: bool = True
    closed: bool = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class SimulatedBackend:
    """``failures`` are raised by the decodes to come, in order; ``None`` stands for success.

    ``prompts`` are those of the requests that were started, ``packs`` the lengths of the texts that
    were embedded together, ``script`` is what every answer begins with, ``fails_after`` the tokens
    after which samplers fail, by the first token of the prompt, ``changes`` how often other
    ``adapters`` were put to use.
    """

    def __init__(
        self,
        *,
        n_ctx: int = 64,
        n_slots: int = 3,
        rows: int = 16,
        cells: int | None = None,
        sequences: int | None = None,
        can_trim: bool = True,
        can_undo: bool | None = None,
        can_shift: bool = True,
        embeddings: bool = False,
    ) -> None:
        self.info = EngineInfo(
            n_ctx=n_ctx,
            n_ctx_train=n_ctx,
            n_slots=n_slots,
            n_vocab=N_VOCAB,
            n_embd=4,
            size=0,
            size_vram=0,
            can_shift=can_shift,
            embeddings=embeddings,
        )
        self.limits = Limits(
            rows=rows,
            cells=n_ctx * n_slots if cells is None else cells,
            sequences=sequences or n_slots,
            can_trim=can_trim,
            can_undo=can_trim if can_undo is None else can_undo,
            part=4 if can_trim else 0,
            pack_rows=16,
            pack_sequences=4,
        )
        self.guidance = SimulatedGuidance(EOG)
        self.failures: list[Exception | None] = []
        self.samplers: list[SimulatedSampler] = []
        self.prompts: list[list[int]] = []
        self.script: list[int] = []
        self.fails_after: dict[int, int] = {}
        self.packs: list[list[int]] = []
        self.decoded = 0
        self.closed = False
        self.aborted = False
        self.adapters: Adapters | None = None
        self.changes = 0
        self._kv: dict[int, list[Cell]] = {index: [] for index in range(self.limits.sequences)}
        self._outputs: list[int] = []
        self._before: dict[int, int] = {}  # how long sequences were before the last decode

    def check_adapters(self, adapters: Adapters | None) -> None:
        for name, _ in adapters or ():
            if name == "missing":
                raise InvalidRequest(f"adapters: there is no {name}", field="adapters")

    def adapt(self, adapters: Adapters | None) -> None:
        self.changes += adapters != self.adapters
        self.adapters = adapters

    def decode(self, batch: Batch) -> None:
        assert 0 < len(batch.tokens) <= self.limits.rows
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, OutOfCells):
            raise failure
        assert self.used + len(batch.tokens) <= self.limits.cells, "the scheduler counts the cells"
        self._outputs = []
        self._before = {sequence: len(cells) for sequence, cells in self._kv.items()}
        rows = zip(batch.tokens, batch.positions, batch.sequences, batch.outputs, strict=True)
        for index, (token, position, sequence, output) in enumerate(rows):
            if failure is not None and index == len(batch.tokens) // 2:
                raise failure
            self._compute(int(token), int(position), int(sequence), bool(output))
        self.decoded += len(batch.tokens)

    def _compute(self, token: int, position: int, sequence: int, output: bool) -> None:
        cells = self._kv[sequence]
        assert position == len(cells)
        assert position < self.info.n_ctx
        before = cells[-1].digest if cells else b""
        by = b"" if self.adapters is None else repr(self.adapters).encode()
        cells.append(Cell(token, hashlib.md5(before + token.to_bytes(4, "little") + by).digest()))
        if output:
            self._outputs.append(1 + int.from_bytes(cells[-1].digest[:4], "little"))

    def sampler(
        self, params: SamplingParams, *, prompt: Int32s, n_ctx: int, ignore_eos: bool
    ) -> SimulatedSampler:
        assert len(prompt) < n_ctx <= self.info.n_ctx
        self.prompts.append(prompt.tolist())
        if params.grammar is not None and params.grammar.kind == "gbnf":
            raise InvalidGrammar(params.grammar.text)
        fails_after = self.fails_after.get(int(prompt[0]), -1) if len(prompt) else -1
        sampler = SimulatedSampler(list(self.script), fails_after, eog=not ignore_eos)
        self.samplers.append(sampler)
        return sampler

    def sample(
        self,
        rows: Sequence[int],
        samplers: Sequence[SimulatedSampler],
        masks: Masks | None = None,
    ) -> list[int | PyollamaError]:
        assert len(rows) == len(samplers) <= len(self._outputs)
        tokens: list[int | PyollamaError] = []
        for index, (row, sampler) in enumerate(zip(rows, samplers, strict=True)):
            try:
                token = self._draw(self._outputs[row], sampler)
            except PyollamaError as error:
                tokens.append(error)
            else:
                tokens.append(token if masks is None else _allowed(token, masks[index]))
        return tokens

    def verify(
        self, rows: Sequence[int], drafts: Sequence[int], sampler: SimulatedSampler
    ) -> list[int]:
        assert len(rows) == len(drafts) + 1
        tokens = []
        for row, draft in zip(rows, [*drafts, None], strict=True):
            tokens.append(self._draw(self._outputs[row], sampler))
            if tokens[-1] != draft:
                break
        return tokens

    def _draw(self, number: int, sampler: SimulatedSampler) -> int:
        assert not sampler.closed
        if sampler.fails_after == 0:
            raise InvalidGrammar("no token can continue the output")
        sampler.fails_after -= 1
        if sampler.fixed:
            return sampler.fixed.pop(0)
        if sampler.eog and number % 23 == 0:
            return EOG
        return 1 + number % (len(PIECES) - 1)

    def logprobs(self, row: int, token: int, n_top: int) -> tuple[float, tuple[TokenLogprob, ...]]:
        top = tuple(TokenLogprob(str(n), -float(n), str(n).encode()) for n in range(n_top))
        return -0.5, top

    def token_logprobs(self, rows: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        pairs = zip(rows, tokens, strict=True)
        return np.array([-(self._outputs[row] % 1000) - token for row, token in pairs], np.float32)

    def is_eog(self, token: int) -> bool:
        return token == EOG

    def piece(self, token: int, *, special: bool) -> bytes:
        if token < len(PIECES):
            return PIECES[token]
        return f"<{token}>".encode() if special else b""

    def trim(self, sequence: int, length: int) -> None:
        if 0 < length < len(self._kv[sequence]) and not self.limits.can_trim:
            undoes = self.limits.can_undo and length >= self._before[sequence]
            assert undoes, "this memory cannot be trimmed"
        del self._kv[sequence][length:]

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self._kv[target]
        assert 0 < length <= len(self._kv[source])
        assert self.limits.can_trim or length == len(self._kv[source])
        self._kv[target] = self._kv[source][:length]

    def shift(self, sequence: int, keep: int, discard: int, length: int) -> None:
        assert self.info.can_shift
        assert length == len(self._kv[sequence])
        moved = {id(cell) for cell in self._kv[sequence][keep + discard :]}
        if any(
            id(cell) in moved
            for other, cells in self._kv.items()
            if other != sequence
            for cell in cells
        ):
            self._kv[sequence] = [Cell(cell.token, cell.digest) for cell in self._kv[sequence]]
            assert self.used <= self.limits.cells
        del self._kv[sequence][keep : keep + discard]

    def save(self, sequence: int) -> bytes:
        return b"".join(bytes([cell.token]) + cell.digest for cell in self._kv[sequence])

    def save_part(self, sequence: int, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= len(self._kv[sequence])
        assert stop - start <= self.limits.part
        head = start.to_bytes(4, "little") + stop.to_bytes(4, "little")
        return head + self.save(sequence)[start * 17 : stop * 17]

    def restore_part(self, sequence: int, state: bytes | memoryview, start: int, stop: int) -> None:
        first, last = (int.from_bytes(state[at : at + 4], "little") for at in (0, 4))
        assert len(self._kv[sequence]) == start
        if not first <= start < stop <= last or len(state) != 8 + 17 * (last - first):
            raise NativeError("not a part")
        parts = [state[8 + 17 * (at - first) :][:17] for at in range(start, stop)]
        self._kv[sequence] += [Cell(part[0], bytes(part[1:])) for part in parts]
        assert self.used <= self.limits.cells

    @property
    def layout(self) -> dict[str, str | int | bool]:
        return {"simulated": True}

    def restore(self, sequence: int, state: bytes | memoryview) -> None:
        self._kv[sequence] = []
        if len(state) % 17:
            raise NativeError("not a state")
        parts = [state[at : at + 17] for at in range(0, len(state), 17)]
        self._kv[sequence] = [Cell(part[0], bytes(part[1:])) for part in parts]
        assert self.used <= self.limits.cells

    def embed(self, inputs: Sequence[Int32s]) -> NDArray[np.float32]:
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        self.packs.append([len(tokens) for tokens in inputs])
        rows = [[len(tokens), tokens[0], tokens[-1], sum(tokens)] for tokens in inputs]
        return np.array(rows, np.float32)

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        assert not self.closed
        self.closed = True

    @property
    def used(self) -> int:
        """Cells that are in use."""
        return len({id(cell) for cells in self._kv.values() for cell in cells})

    def held(self) -> dict[int, list[int]]:
        """The tokens in the cache, by sequence."""
        return {sequence: [cell.token for cell in cells] for sequence, cells in self._kv.items()}


def _allowed(token: int, mask: NDArray[np.uint32]) -> int:
    """``token``, or the smallest that the mask lets through if that is not the one."""
    bits = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
    return token if token in bits else int(bits[0])
