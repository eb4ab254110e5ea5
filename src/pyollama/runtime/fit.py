"""From a model, wishes and hardware to the numbers a model is loaded with. Pure arithmetic.

Estimates are on the safe side: the sliding windows of a model are not counted on, and the graph is
taken to need a row of logits for every token of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from pyollama.engine.spec import LoadSpec
from pyollama.errors import ConfigError, OutOfMemory
from pyollama.runtime.devices import GPU, Hardware
from pyollama.runtime.facts import ModelFacts
from pyollama.types import LoadOptions

MIB = 1 << 20
GIB = 1 << 30

_N_BATCH = 2048
_N_UBATCH = 512
_AUTOMATIC_SLOTS = (8, 4, 2, 1)
_SLOTS_SHARE = 0.25
"""Part of what the weights leave free that the caches of more than one slot may take unasked."""

_CELLS_PER_SLOT = 4096
"""Where whole contexts for all slots are too many, slots share fewer cells, but no fewer than this
for each: most requests are far shorter than a long context."""

_PREFIX_SHARE = 1 / 8
"""Part of what a model leaves free that prefixes outside its KV cache may take unasked."""

_PREFIX_MOST = 8 * GIB

_TIERS = ((47 * GIB, 262144), (23 * GIB, 32768))
_LOWEST_TIER = 4096
_USABLE = 0.9
_GPU_RESERVE = 512 * MIB
_ACTIVATIONS = 12
"""Rows of the embedding's width that a token needs in the graph."""

_CACHE_BYTES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that hold for every model; 0 leaves the choice to :func:`fit`.

    So does a ``prefix_ram`` of ``None``; the ``prefix_...`` are those of ``LoadSpec``.
    """

    context_length: int = 0
    num_parallel: int = 0
    kv_cache_type: str = "f16"
    flash_attention: bool | None = None
    gpu_overhead: int = 0
    spread: bool = False
    prefix_ram: int | None = None
    prefix_disk: int = 0
    prefix_dir: str = ""

    def __post_init__(self) -> None:
        if self.kv_cache_type not in _CACHE_BYTES:
            raise ConfigError(
                f"OLLAMA_KV_CACHE_TYPE={self.kv_cache_type!r} is no type of KV cache",
                hint=f"use one of {', '.join(_CACHE_BYTES)}",
            )


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request wants loaded. ``automatic``: nobody asked for this ``n_ctx``.

    ``draft`` is the path of a draft model, or empty: then it does not matter whether there is one.
    """

    path: str
    adapters: tuple[str, ...]
    n_ctx: int
    automatic: bool
    options: LoadOptions
    draft: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for everything that one loaded model can serve."""
        return (self.path, *self.adapters)

    def met_by(self, other: Wish, *, n_ctx: int, n_ctx_train: int) -> bool:
        """Whether what was loaded for ``other``, with ``n_ctx``, will do.

        A shorter context is a limit of the request, and options that were not given are content
        with what there is.
        """
        if min(self.n_ctx, n_ctx_train or self.n_ctx) > n_ctx and not (
            self.automatic and other.automatic
        ):
            return False
        mine, theirs = self.options, other.options
        return (
            self.draft in ("", other.draft)
            and (mine.num_gpu is None or mine.num_gpu < 0 or mine.num_gpu == theirs.num_gpu)
            and mine.num_batch in (None, theirs.num_batch)
            and mine.main_gpu in (None, theirs.main_gpu)
            and mine.use_mmap in (None, theirs.use_mmap)
            and mine.num_thread in (None, theirs.num_thread)
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """How to load, and the bytes of main and of GPU memory it is expected to take.

    ``mapped`` is the part of ``ram`` that is a mapped file: the system calls it free although the
    model would crawl without it.
    """

    spec: LoadSpec
    ram: int
    vram: int
    mapped: int


def default_prefix_ram(free: int) -> int:
    """Bytes for prefixes outside the KV cache where ``free`` bytes of main memory are left."""
    return int(min(max(free, 0) * _PREFIX_SHARE, _PREFIX_MOST))


def default_context(policy: Policy, hardware: Hardware) -> int:
    """Tokens of context where neither request nor Modelfile ask for a number."""
    if policy.context_length:
        return policy.context_length
    vram = sum(max(0, gpu.memory_total - policy.gpu_overhead) for gpu in hardware.gpus)
    return next((n_ctx for least, n_ctx in _TIERS if vram >= least), _LOWEST_TIER)


def fit(
    facts: ModelFacts,
    wish: Wish,
    policy: Policy,
    hardware: Hardware,
    *,
    loading: Sequence[Placement] = (),
    loaded: Sequence[Placement] = (),
) -> Placement:
    """The best placement that fits beside what is ``loaded`` and what is still ``loading``.

    Given up in this order: slots, an automatic context, and, with no other model that could make
    room, layers on the GPU. :class:`OutOfMemory` if that is not enough.
    """
    fitting = _Fitting(facts, wish, policy, _usable(hardware, policy, loading, loaded))
    for partial in (False,) if loading or loaded else (False, True):
        for spec in fitting.specs():
            if (placement := fitting.place(spec, partial=partial)) is not None:
                return placement
    raise fitting.failure()


def _usable(
    hardware: Hardware, policy: Policy, loading: Sequence[Placement], loaded: Sequence[Placement]
) -> Hardware:
    """``hardware`` with only the memory that may be used. What is loading fills all GPUs alike."""
    taken = sum(placement.vram for placement in loading)
    free = sum(gpu.memory_free for gpu in hardware.gpus) or 1
    gpus = []
    for gpu in hardware.gpus:
        left = gpu.memory_free - taken * gpu.memory_free // free
        usable = int(left * _USABLE) - policy.gpu_overhead - _GPU_RESERVE
        gpus.append(replace(gpu, memory_free=max(0, usable)))
    ram = hardware.memory_free
    ram -= sum(placement.ram for placement in loading)
    ram -= sum(placement.mapped for placement in loaded)
    return replace(hardware, gpus=tuple(gpus), memory_free=max(0, int(ram * _USABLE)))


@dataclass(frozen=True, slots=True)
class _Fitting:
    facts: ModelFacts
    wish: Wish
    policy: Policy
    hardware: Hardware

    def specs(self) -> Iterator[LoadSpec]:
        """What would do, best first."""
        for n_ctx in self._contexts():
            for n_slots, n_cells in self._slots(n_ctx):
                yield msgspec.structs.replace(self._spec(n_ctx, n_slots), n_cells=n_cells)

    def _contexts(self) -> list[int]:
        most = min(self.wish.n_ctx, self.facts.n_ctx_train or self.wish.n_ctx)
        steps = (32768, _LOWEST_TIER) if self.wish.automatic else ()
        return [most, *(n_ctx for n_ctx in steps if n_ctx < most)]

    def _slots(self, n_ctx: int) -> Iterator[tuple[int, int]]:
        """How many slots on how many cells (0: whole contexts)."""
        if self.facts.embeddings:
            yield 1, 0  # texts are packed into batches, not given slots
            return
        if asked := self.policy.num_parallel:
            yield from ((n, 0) for n in (asked, *(n for n in _AUTOMATIC_SLOTS if n < asked)))
            return
        free = sum(gpu.memory_free for gpu in self._gpus()) or self.hardware.memory_free
        budget = int((free - self.facts.size) * _SLOTS_SHARE)
        for n_slots in _AUTOMATIC_SLOTS:
            spec = self._spec(n_ctx, n_slots)
            if n_slots == 1 or self._cache(spec) <= budget:
                yield n_slots, 0
            elif n_cells := self._shared_cells(spec, budget):
                yield n_slots, n_cells

    def _shared_cells(self, spec: LoadSpec, budget: int) -> int:
        """Cells for all slots together, at least one context; 0 if they are too few."""
        per_token, states = self._cell_bytes, self._state_bytes(spec)
        if not per_token or states > budget:
            return 0
        n_cells = max(spec.n_ctx, int((budget - states) / per_token) // 256 * 256)
        return n_cells if n_cells >= spec.n_slots * min(spec.n_ctx, _CELLS_PER_SLOT) else 0

    def _spec(self, n_ctx: int, n_slots: int) -> LoadSpec:
        options, facts = self.wish.options, self.facts
        most = min(_N_BATCH, n_ctx) if facts.embeddings else _N_BATCH
        n_batch = max(1, options.num_batch or most)
        return LoadSpec(
            path=self.wish.path,
            adapters=self.wish.adapters,
            draft_path=self.wish.draft,
            n_ctx=n_ctx,
            n_slots=n_slots,
            n_batch=n_batch,
            n_ubatch=n_batch if facts.embeddings else min(_N_UBATCH, n_batch),
            n_threads=max(0, options.num_thread or 0),
            n_threads_batch=max(0, options.num_thread or 0),
            use_mmap=options.use_mmap,
            embeddings=facts.embeddings,
            type_k=self.policy.kv_cache_type,
            type_v=self.policy.kv_cache_type,
            flash_attn=self.policy.flash_attention,
            prefix_disk=0 if facts.embeddings else self.policy.prefix_disk,
            prefix_dir=self.policy.prefix_dir,
        )

    @property
    def _cell_bytes(self) -> float:
        return self.facts.kv_elements * _CACHE_BYTES[self.policy.kv_cache_type]

    def _state_bytes(self, spec: LoadSpec) -> int:
        has_state = self.facts.state_bytes > 0
        return self.facts.state_bytes * spec.sequences(has_state=has_state)

    def _cache(self, spec: LoadSpec) -> int:
        return int(self._cell_bytes * spec.cells) + self._state_bytes(spec)

    def _graph(self, spec: LoadSpec) -> int:
        encodes = spec.embeddings and not self.facts.kv_elements
        rows = max(spec.n_ubatch, spec.n_ctx if encodes else 0)
        logits = 0 if spec.embeddings else self.facts.n_vocab
        mask = rows * rows * 2 if encodes else 0  # every token of a text looks at every other one
        return rows * (logits + _ACTIVATIONS * self.facts.n_embd) * 4 + mask

    def _need(self, spec: LoadSpec) -> int:
        return self.facts.size + self._cache(spec) + self._graph(spec)

    def _gpus(self) -> tuple[GPU, ...]:
        """Those that may be used."""
        gpus, options = self.hardware.gpus, self.wish.options
        if options.num_gpu == 0:
            return ()
        if options.main_gpu is not None and 0 <= options.main_gpu < len(gpus):
            return (gpus[options.main_gpu],)
        return gpus

    def place(self, spec: LoadSpec, *, partial: bool) -> Placement | None:
        """``spec`` with its devices, if there is room for it."""
        asked = self.wish.options.num_gpu
        if not self._gpus():
            return self._split(spec, 0 if asked == 0 else -1, ())
        if asked is not None and asked > 0:
            return self._split(spec, asked, self._gpus())
        for chosen in self._choices():
            if self._need(spec) + self._graph(spec) * (len(chosen) - 1) <= _free(chosen):
                return self._split(spec, -1, chosen)
        return self._split(spec, self._layers(spec), self._gpus()) if partial else None

    def _choices(self) -> Iterator[tuple[GPU, ...]]:
        """One GPU if that is enough, the best first; else all of them."""
        gpus = self._gpus()
        if not self.policy.spread:
            for gpu in sorted(gpus, key=lambda gpu: (gpu.integrated, -gpu.memory_free)):
                yield (gpu,)
        yield gpus

    def _layers(self, spec: LoadSpec) -> int:
        """How many layers fit on all GPUs together; the output counts as one."""
        layers = self.facts.n_layers + 1
        per_layer = (self._need(spec) - self._graph(spec)) / layers
        room = _free(self._gpus()) - self._graph(spec) * len(self._gpus())
        return max(0, min(layers, int(room / per_layer))) if per_layer else layers

    def _split(self, spec: LoadSpec, n_layers: int, gpus: tuple[GPU, ...]) -> Placement | None:
        """``spec`` with ``n_layers`` (-1: all) on ``gpus``; None if main memory lacks the rest."""
        layers = self.facts.n_layers + 1
        part = 0.0 if not gpus else 1.0 if n_layers < 0 else min(1.0, n_layers / layers)
        need = self._need(spec)
        vram = int(need * part)
        shared = any(gpu.integrated for gpu in gpus)
        ram = need if shared else need - vram
        if ram > self.hardware.memory_free:
            return None
        one_of_many = len(gpus) == 1 < len(self.hardware.gpus)
        return Placement(
            msgspec.structs.replace(
                spec,
                n_gpu_layers=n_layers,
                main_gpu=gpus[0].index if one_of_many else self.wish.options.main_gpu or 0,
                tensor_split=_only(gpus[0], self.hardware.gpus) if one_of_many else (),
                prefix_ram=self._prefix_ram(ram),
            ),
            ram=ram,
            vram=vram,
            mapped=0 if spec.use_mmap is False else int(self.facts.size * (1 - part)),
        )

    def _prefix_ram(self, ram: int) -> int:
        if self.facts.embeddings:
            return 0
        if self.policy.prefix_ram is not None:
            return self.policy.prefix_ram
        return default_prefix_ram(self.hardware.memory_free - ram)

    def failure(self) -> OutOfMemory:
        """Why not even the last of :meth:`specs` fits."""
        *_, least = self.specs()
        needed = self._need(least)
        free = self.hardware.memory_free + _free(self._gpus())
        return OutOfMemory(
            f"loading {self.wish.path} with a context of {least.n_ctx} tokens needs about "
            f"{_gib(needed)} of memory, but only {_gib(free)} may be used",
            hint="use a smaller num_ctx or a smaller model, or unload other models",
            needed=needed,
            free=free,
        )


def _free(gpus: Sequence[GPU]) -> int:
    return sum(gpu.memory_free for gpu in gpus)


def _only(chosen: GPU, gpus: Sequence[GPU]) -> tuple[float, ...]:
    return tuple(1.0 if gpu is chosen else 0.0 for gpu in gpus)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
