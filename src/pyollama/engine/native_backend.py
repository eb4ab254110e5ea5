"""The backend that computes: llama.cpp through the binding."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pyollama import _native
from pyollama.engine.adapters import LoraAdapters
from pyollama.engine.backend import Batch, Int32s, Limits
from pyollama.engine.cpus import compute_threads
from pyollama.engine.guidance.guides import Guidance
from pyollama.engine.guidance.interface import Masks
from pyollama.engine.pooling import Pooler, sees_whole_inputs
from pyollama.engine.spec import LoadSpec
from pyollama.errors import Aborted, NativeError, OutOfCells, PyollamaError, UnsupportedCapability
from pyollama.types import Adapters, EngineInfo, SamplingParams, TokenLogprob

LoadProgress = _native.LoadProgress

PACKED_TEXTS = 64
"""How many texts are embedded in one batch at most."""

PACKED_ROWS = 256
"""Tokens of such a batch where a CPU computes: see ``bench/embedding.py``."""


def load(spec: LoadSpec, progress: LoadProgress | None = None) -> NativeBackend:
    """Load a model; takes as long as that takes. ``progress`` can cancel it (``Aborted``).

    A thread that ends does it: GNU OpenMP keeps a team for each thread that has computed, and with
    more of them than cores it sleeps at every barrier instead of spinning (530 times a token, which
    then took 28 instead of 24 ms on two cores).
    """
    with ThreadPoolExecutor(1, thread_name_prefix="load") as passing:
        return passing.submit(NativeBackend, spec, progress).result()


class NativeBackend:
    """Owns the model and its context. See :class:`~pyollama.engine.backend.Backend`.

    ``model`` may be used from any thread as long as the backend is open, for its vocabulary.
    """

    def __init__(self, spec: LoadSpec, progress: LoadProgress | None = None) -> None:
        self.model = _native.Model(
            spec.path,
            use_mmap=spec.use_mmap,
            n_gpu_layers=spec.n_gpu_layers,
            main_gpu=spec.main_gpu,
            tensor_split=spec.tensor_split or None,
            progress=progress,
        )
        try:
            self._context = _context(self.model, spec)
            self._adapters = LoraAdapters(
                self.model.adapter, self._context.set_adapters, spec.adapters
            )
            self._check(spec)
        except BaseException:
            self.model.close()
            raise
        encoder = _is_encoder(self.model)
        self._compute = self._context.encode if encoder else self._context.decode
        self._pooler = Pooler(self._context, self.decode)
        self._eog = frozenset(self.model.eog_tokens)
        self.guidance = Guidance(spec.path, self.model.n_vocab, compute_threads(self.model.size))
        self.info = self._info(spec)
        self.layout = self._layout(spec)
        can_undo = self._context.supports_partial_removal and self._context.swa_full
        can_trim = can_undo and not _has_window(self.model, spec)
        self.limits = Limits(
            rows=min(self._context.n_batch, self._context.n_ubatch),
            cells=self._cells(spec),
            sequences=self._context.n_seq_max - (1 if can_trim else 0),
            can_trim=can_trim,
            can_undo=can_undo,
            part=self._context.n_ctx if can_trim else 0,
            pack_rows=min(spec.n_ubatch, self._context.n_ubatch, self._pack_rows),
            pack_sequences=self._context.n_seq_max,
        )

    def _check(self, spec: LoadSpec) -> None:
        if spec.embeddings:
            if self._context.pooling == "none":
                raise UnsupportedCapability("this model does not say how to pool embeddings")
        elif not self._context.has_memory or (self.model.has_encoder and self.model.has_decoder):
            raise UnsupportedCapability("this model cannot continue a text")

    def _cells(self, spec: LoadSpec) -> int:
        """A recurrent state takes no cells, however long its sequence is."""
        if self.model.is_recurrent:
            return spec.n_ctx * self._context.n_seq_max
        return self._context.n_ctx

    def _info(self, spec: LoadSpec) -> EngineInfo:
        pooling = self._context.pooling if spec.embeddings else ""
        width = self.model.n_embd_out if spec.embeddings else self.model.n_embd
        sizes = {name: sum(use.values()) for name, use in self._context.memory_breakdown().items()}
        return EngineInfo(
            n_ctx=spec.n_ctx,
            n_ctx_train=self.model.n_ctx_train,
            n_slots=spec.n_slots,
            n_vocab=self.model.n_vocab,
            n_embd=self.model.n_cls_out if pooling == "rank" else width,
            size=sum(sizes.values()),
            size_vram=sum(size for name, size in sizes.items() if not _in_main_memory(name)),
            can_shift=self._context.can_shift and self._context.supports_partial_removal,
            embeddings=spec.embeddings,
            pooling=pooling,
        )

    def _layout(self, spec: LoadSpec) -> dict[str, str | int | bool]:
        architecture = self.model.metadata.get("general.architecture", "")
        short = self.model.metadata.get(f"{architecture}.rope.scaling.original_context_length")
        return {
            "llama.cpp": _native.llama_version(),
            "type_k": spec.type_k,
            "type_v": spec.type_v,
            "flash_attn": str(spec.flash_attn),
            "swa_full": self._context.swa_full,
            # Some models have other rotary factors in a context longer than this.
            "long_rope": short is not None and self._context.n_ctx_seq > int(short),
        }

    @property
    def _pack_rows(self) -> int:
        return self._context.n_ubatch if self.info.size_vram else PACKED_ROWS

    def check_adapters(self, adapters: Adapters | None) -> None:
        self._adapters.check(adapters)

    def adapt(self, adapters: Adapters | None) -> None:
        self._adapters.use(adapters)

    def decode(self, batch: Batch) -> None:
        try:
            self._compute(batch.tokens, batch.positions, batch.sequences, batch.outputs)
        except Aborted:
            self._context.clear_abort()
            raise

    def sampler(
        self, params: SamplingParams, *, prompt: Int32s, n_ctx: int, ignore_eos: bool
    ) -> _native.Sampler:
        bias = dict(params.logit_bias)
        if ignore_eos:
            bias |= dict.fromkeys(self._eog, float("-inf"))
        sampler = _sampler(self.model, params, bias, n_ctx)
        sampler.accept(prompt, grammar=False)
        return sampler

    def sample(
        self,
        rows: Sequence[int],
        samplers: Sequence[_native.Sampler],
        masks: Masks | None = None,
    ) -> list[int | PyollamaError]:
        tokens = np.full(len(rows), -1, np.int32)
        try:
            self._context.sample(rows, samplers, masks, tokens)
        except PyollamaError as error:
            return [token if token >= 0 else error for token in tokens.tolist()]
        return [*tokens.tolist()]

    def verify(
        self, rows: Sequence[int], drafts: Sequence[int], sampler: _native.Sampler
    ) -> list[int]:
        tokens: list[int] = self._context.verify(rows, drafts, sampler).tolist()
        return tokens

    def logprobs(self, row: int, token: int, n_top: int) -> tuple[float, tuple[TokenLogprob, ...]]:
        logprob, ids, values = self._context.logprobs(row, token, n_top)
        top = zip(ids.tolist(), values.tolist(), strict=True)
        return logprob, tuple(self._alternative(token, value) for token, value in top)

    def token_logprobs(self, rows: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        return self._context.token_logprobs(rows, tokens)

    def _alternative(self, token: int, logprob: float) -> TokenLogprob:
        piece = self.piece(token, special=True)
        return TokenLogprob(piece.decode(errors="replace"), logprob, piece)

    def is_eog(self, token: int) -> bool:
        return token in self._eog

    def piece(self, token: int, *, special: bool) -> bytes:
        return self.model.piece(token, render_special=special)

    def trim(self, sequence: int, length: int) -> None:
        if not self._context.seq_rm(sequence, length or -1, -1):
            raise NativeError(f"sequence {sequence} could not be cut to {length} tokens")

    def copy(self, source: int, target: int, length: int) -> None:
        self._context.seq_cp(source, target, 0, length)

    def shift(self, sequence: int, keep: int, discard: int, length: int) -> None:
        if not self._context.seq_rm(sequence, keep, keep + discard):
            raise NativeError(f"sequence {sequence} could not be shifted")
        try:
            self._context.seq_add(sequence, keep + discard, length, -discard)
        except OutOfCells:
            # It shares cells, and the binding only moves it if there would be room for all
            # sequences without any sharing. The engine has made room for this one.
            state = self._context.state_seq(sequence)
            self.trim(sequence, 0)
            self._context.set_state_seq(sequence, state)
            self._context.seq_add(sequence, keep + discard, length, -discard)

    def save(self, sequence: int) -> bytes:
        return self._context.state_seq(sequence)

    def restore(self, sequence: int, state: bytes | memoryview) -> None:
        self._context.set_state_seq(sequence, state)

    def save_part(self, sequence: int, start: int, stop: int) -> bytes:
        context, desk = self._context, self.limits.sequences
        context.seq_cp(sequence, desk, start, stop)
        try:
            if (context.seq_pos_min(desk), context.seq_pos_max(desk)) != (start, stop - 1):
                raise NativeError(f"sequence {sequence} lacks some of {start} to {stop}")
            return context.state_seq(desk)
        finally:
            context.seq_rm(desk)

    def restore_part(self, sequence: int, state: bytes | memoryview, start: int, stop: int) -> None:
        context, desk = self._context, self.limits.sequences
        try:
            context.set_state_seq(desk, state)
            if context.seq_pos_min(desk) > start or context.seq_pos_max(desk) < stop - 1:
                raise NativeError(f"the state lacks some of {start} to {stop}")
            context.seq_cp(desk, sequence, start, stop)
        finally:
            context.seq_rm(desk)

    def embed(self, inputs: Sequence[Int32s]) -> NDArray[np.float32]:
        return self._pooler.embed(inputs)

    def abort(self) -> None:
        self._context.abort()

    def close(self) -> None:
        self.guidance.close()
        self._context.close()
        self._adapters.close()
        self.model.close()


def _has_window(model: _native.Model, spec: LoadSpec) -> bool:
    """Whether a sequence may be longer than a sliding window of the model.

    What lies behind the window llama.cpp gives to others that need cells, also where the cache is
    kept in full (``find_slot``). Such a sequence can be continued, but not be cut back.
    """
    return 0 < model.n_swa < spec.n_ctx


def _context(model: _native.Model, spec: LoadSpec) -> _native.Context:
    if spec.embeddings:
        return _pooling_context(model, spec)
    threads = spec.n_threads or compute_threads(model.size)
    rows = max(min(spec.n_ubatch, spec.n_batch), 2 * spec.n_slots)
    has_state = model.is_recurrent or model.is_hybrid
    # Where parts of sequences can be saved, that is done by way of one that only we know of.
    cut = not has_state and not _has_window(model, spec)
    sequences = spec.sequences(has_state=has_state) + (1 if cut else 0)
    return _native.Context(
        model,
        n_ctx=spec.cells,
        n_batch=max(spec.n_batch, rows),
        n_ubatch=rows,
        n_seq_max=min(sequences, _native.max_sequences()),
        n_threads=threads,
        n_threads_batch=spec.n_threads_batch or threads,
        flash_attn=spec.flash_attn,
        type_k=spec.type_k,
        type_v=spec.type_v,
    )


def _pooling_context(model: _native.Model, spec: LoadSpec) -> _native.Context:
    """For texts to embed. Where a token looks at those behind it, the longest fits a micro-batch.

    Large micro-batches do not slow small ones, and main memory is only taken by those computed.
    """
    threads = spec.n_threads or compute_threads(model.size)
    texts = min(PACKED_TEXTS, _native.max_sequences())

    def of(rows: int) -> _native.Context:
        rows = -(-rows // texts) * texts  # llama.cpp takes them to be spread evenly over the texts
        return _native.Context(
            model,
            n_ctx=max(spec.n_ctx, rows),
            n_batch=rows,
            n_ubatch=rows,
            n_seq_max=texts,
            n_threads=threads,
            n_threads_batch=spec.n_threads_batch or threads,
            embeddings=True,
            flash_attn=spec.flash_attn,
            type_k=spec.type_k,
            type_v=spec.type_v,
        )

    context = of(max(min(spec.n_ubatch, spec.n_batch), texts))
    whole = sees_whole_inputs(context, encoder=_is_encoder(model))
    if whole and context.n_ubatch < spec.n_ctx:
        context.close()
        context = of(spec.n_ctx)
    return context


def _sampler(
    model: _native.Model, params: SamplingParams, bias: dict[int, float], n_ctx: int
) -> _native.Sampler:
    grammar = params.grammar if params.grammar and params.grammar.kind == "gbnf" else None
    return _native.Sampler(
        model,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        min_p=params.min_p,
        typical_p=params.typical_p,
        top_n_sigma=params.top_n_sigma,
        xtc_probability=params.xtc_probability,
        xtc_threshold=params.xtc_threshold,
        dry_multiplier=params.dry_multiplier,
        dry_base=params.dry_base,
        dry_allowed_length=params.dry_allowed_length,
        dry_penalty_last_n=params.dry_penalty_last_n,
        dry_sequence_breakers=params.dry_sequence_breakers,
        mirostat=params.mirostat,
        mirostat_tau=params.mirostat_tau,
        mirostat_eta=params.mirostat_eta,
        repeat_last_n=params.repeat_last_n,
        repeat_penalty=params.repeat_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        logit_bias=bias,
        seed=params.seed,
        min_keep=params.min_keep,
        grammar=grammar.text if grammar else None,
        grammar_root=grammar.root if grammar else "root",
        grammar_lazy=grammar.lazy if grammar else False,
        grammar_trigger_patterns=grammar.trigger_patterns if grammar else (),
        grammar_trigger_tokens=grammar.trigger_tokens if grammar else (),
        grammar_prefill=grammar.prefill if grammar else "",
        n_ctx=n_ctx,
    )


def _is_encoder(model: _native.Model) -> bool:
    """Whether llama.cpp computes it by ``encode``: the first half of T5; BERT is none to it."""
    return model.has_encoder and not model.has_decoder


def _in_main_memory(buffer: str) -> bool:
    """Whether a buffer type is the host's: CPU, CPU_REPACK, AMX, CUDA_Host and the like."""
    return buffer.startswith(("CPU", "AMX")) or buffer.endswith("_Host")
