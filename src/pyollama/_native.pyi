"""The binding of llama.cpp, compiled from ``src/native``.

Handles (:class:`Model`, :class:`Context`, :class:`Sampler`, :class:`Adapter`,
:class:`ChatTemplate`) own native memory. ``close()`` frees it at once, closing twice is fine, and a
closed handle raises ``NativeError`` when used. A handle keeps alive what it needs, so handles may
be closed in any order: the weights go when the last context that uses them goes.

Everything that takes time releases the GIL. A :class:`Model` may be used from many threads; a
:class:`Context` and a :class:`Sampler` belong to one thread at a time, and a second thread that
enters one meanwhile gets a ``NativeError``. Failures raise the classes of ``pyollama.errors``;
arguments of a wrong type raise ``TypeError``, impossible values ``InvalidRequest``.
"""

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

class Device(NamedTuple):
    """A compute device. ``kind`` is cpu, gpu, igpu or accel; memory is in bytes."""

    name: str
    description: str
    kind: str
    memory_free: int
    memory_total: int

class Perf(NamedTuple):
    """What a context has done since the last ``reset_perf()``; times in milliseconds."""

    prompt_ms: float
    eval_ms: float
    prompt_tokens: int
    eval_tokens: int
    graphs_reused: int

class LoadProgress:
    """Shared with a running load: read ``value`` and ``cancel()`` it from any thread."""

    def __init__(self) -> None: ...
    @property
    def value(self) -> float:
        """Loaded part, 0 to 1."""
    @property
    def cancelled(self) -> bool: ...
    def cancel(self) -> None:
        """Make the load end soon with ``Aborted``."""

class Model:
    """Weights and vocabulary of one GGUF file (or of all parts of a split one).

    ``use_mmap=None`` lets llama.cpp choose. ``devices`` are names out of :func:`devices`; an empty
    sequence keeps everything on the CPU, ``None`` uses all of them. ``n_gpu_layers`` < 0 means all.
    ``split_mode`` is none, layer, row or tensor.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        vocab_only: bool = False,
        use_mmap: bool | None = None,
        use_mlock: bool = False,
        n_gpu_layers: int = -1,
        split_mode: str = "layer",
        main_gpu: int = 0,
        tensor_split: Sequence[float] | None = None,
        devices: Sequence[str] | None = None,
        check_tensors: bool = False,
        progress: LoadProgress | None = None,
    ) -> None: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    # facts
    @property
    def path(self) -> str: ...
    @property
    def vocab_only(self) -> bool: ...
    @property
    def metadata(self) -> dict[str, str]:
        """Scalar metadata as text. Text that is not UTF-8 has its bad bytes replaced."""
    @property
    def description(self) -> str: ...
    @property
    def file_type(self) -> str:
        """Quantisation as llama.cpp names it, for example ``Q4_K - Medium``."""
    @property
    def n_params(self) -> int: ...
    @property
    def size(self) -> int:
        """Bytes of all tensors."""
    @property
    def n_ctx_train(self) -> int: ...
    @property
    def n_embd(self) -> int: ...
    @property
    def n_embd_out(self) -> int: ...
    @property
    def n_layer(self) -> int: ...
    @property
    def n_head(self) -> int: ...
    @property
    def n_head_kv(self) -> int: ...
    @property
    def n_swa(self) -> int:
        """Width of the sliding window in tokens, 0 without one."""
    @property
    def n_cls_out(self) -> int: ...
    @property
    def class_labels(self) -> list[str]:
        """Labels of a classification head; an unnamed one is empty."""
    @property
    def rope_type(self) -> str:
        """none, norm, neox, mrope, imrope or vision."""
    @property
    def rope_freq_scale_train(self) -> float: ...
    @property
    def has_encoder(self) -> bool: ...
    @property
    def has_decoder(self) -> bool: ...
    @property
    def is_recurrent(self) -> bool: ...
    @property
    def is_hybrid(self) -> bool: ...
    @property
    def is_diffusion(self) -> bool: ...
    @property
    def decoder_start_token(self) -> int: ...

    # vocabulary; a special token that the model lacks is -1
    @property
    def n_vocab(self) -> int: ...
    @property
    def vocab_type(self) -> str:
        """none, spm, bpe, wpm, ugm, rwkv, plamo2 or test."""
    @property
    def bos(self) -> int: ...
    @property
    def eos(self) -> int: ...
    @property
    def eot(self) -> int: ...
    @property
    def sep(self) -> int: ...
    @property
    def nl(self) -> int: ...
    @property
    def pad(self) -> int: ...
    @property
    def mask(self) -> int: ...
    @property
    def fim_pre(self) -> int: ...
    @property
    def fim_suf(self) -> int: ...
    @property
    def fim_mid(self) -> int: ...
    @property
    def fim_pad(self) -> int: ...
    @property
    def fim_rep(self) -> int: ...
    @property
    def fim_sep(self) -> int: ...
    @property
    def add_bos(self) -> bool: ...
    @property
    def add_eos(self) -> bool: ...
    @property
    def add_sep(self) -> bool: ...
    @property
    def eog_tokens(self) -> list[int]:
        """All tokens that end a generation, ascending."""
    def is_eog(self, token: int) -> bool: ...
    def is_control(self, token: int) -> bool: ...
    def token_score(self, token: int) -> float: ...
    def tokenize(
        self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False
    ) -> NDArray[np.int32]: ...
    def tokenize_batch(
        self,
        texts: Sequence[str | bytes],
        *,
        add_special: bool = True,
        parse_special: bool = False,
    ) -> list[NDArray[np.int32]]: ...
    def detokenize(
        self, tokens: ArrayLike, *, remove_special: bool = False, render_special: bool = False
    ) -> bytes: ...
    def detokenize_batch(
        self,
        batch: Sequence[ArrayLike],
        *,
        remove_special: bool = False,
        render_special: bool = False,
    ) -> list[bytes]: ...
    def piece(self, token: int, *, render_special: bool = False) -> bytes:
        """The bytes of one token; without ``render_special`` control tokens are empty."""
    def chat_template(self, name: str | None = None) -> str | None:
        """The Jinja source in the file: the default one or the one called ``name``."""
    def adapter(self, path: str | os.PathLike[str]) -> Adapter:
        """Load a LoRA adapter for this model."""

class Adapter:
    """A LoRA adapter; made by :meth:`Model.adapter`, used by :meth:`Context.set_adapters`."""

    @property
    def metadata(self) -> dict[str, str]: ...
    @property
    def invocation_tokens(self) -> list[int]:
        """What switches an activated LoRA on; empty for a plain one."""
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...

class Context:
    """The KV cache (or recurrent state) of up to ``n_seq_max`` sequences, and the compute graph.

    ``n_ctx=0`` takes the trained length. ``n_threads=0`` uses the physical cores. ``pooling`` (one
    of none, mean, cls, last, rank) and ``attention`` (causal, non-causal) default to what the model
    says, ``flash_attn=None`` lets llama.cpp choose. With ``kv_unified`` all sequences share
    ``n_ctx`` cells, otherwise each has its equal part. ``rope_scaling`` (none, linear, yarn,
    longrope), ``rope_*`` and ``yarn_*`` override the model's values when given.
    """

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int = 0,
        n_batch: int = 2048,
        n_ubatch: int = 512,
        n_seq_max: int = 1,
        n_threads: int = 0,
        n_threads_batch: int = 0,
        embeddings: bool = False,
        pooling: str | None = None,
        attention: str | None = None,
        flash_attn: bool | None = None,
        type_k: str = "f16",
        type_v: str = "f16",
        kv_unified: bool = True,
        swa_full: bool = True,
        offload_kqv: bool = True,
        op_offload: bool = True,
        rope_scaling: str | None = None,
        rope_freq_base: float = 0.0,
        rope_freq_scale: float = 0.0,
        yarn_ext_factor: float | None = None,
        yarn_attn_factor: float | None = None,
        yarn_beta_fast: float | None = None,
        yarn_beta_slow: float | None = None,
        yarn_orig_ctx: int = 0,
    ) -> None: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    # facts
    @property
    def n_ctx(self) -> int: ...
    @property
    def n_ctx_seq(self) -> int:
        """Cells one sequence can use at most."""
    @property
    def n_batch(self) -> int: ...
    @property
    def n_ubatch(self) -> int: ...
    @property
    def n_seq_max(self) -> int: ...
    @property
    def pooling(self) -> str: ...
    @property
    def causal(self) -> bool: ...
    @property
    def n_threads(self) -> int: ...
    @property
    def n_threads_batch(self) -> int: ...
    @property
    def n_outputs(self) -> int:
        """Output rows of the last ``decode()`` or ``encode()``."""

    # what the memory can do
    @property
    def has_memory(self) -> bool:
        """Whether there is a cache at all; encoders such as BERT have none."""
    @property
    def kv_unified(self) -> bool: ...
    @property
    def can_shift(self) -> bool:
        """Whether ``seq_add()`` and ``seq_div()`` work."""
    @property
    def supports_partial_removal(self) -> bool:
        """Whether ``seq_rm()`` can take any range; recurrent state cannot be cut.

        With a sliding window that is not kept in full, a cut may still leave a sequence without
        the tokens it would look back at: compare ``seq_pos_min()``.
        """
    @property
    def swa_full(self) -> bool:
        """Whether the whole past is kept, or the model has no sliding window."""

    # compute
    def decode(
        self, tokens: ArrayLike, positions: ArrayLike, seq_ids: ArrayLike, outputs: ArrayLike
    ) -> int:
        """Run one batch through the model; returns the number of output rows.

        All arrays have one entry per token; ``outputs`` says which tokens get an output row. Rows
        are in batch order. Raises ``OutOfCells`` (nothing changed), ``Aborted`` (what was finished
        stays in memory) or ``NativeError``. int32 arrays (outputs: int8 or bool) are not copied.
        """
    def encode(
        self, tokens: ArrayLike, positions: ArrayLike, seq_ids: ArrayLike, outputs: ArrayLike
    ) -> int:
        """The same through an encoder; fills no cache."""
    def logits(self, rows: ArrayLike | None = None) -> NDArray[np.float32]:
        """Copy of the logits, shape (rows, n_vocab): all output rows, or those asked for."""
    def embeddings(self, rows: ArrayLike | None = None) -> NDArray[np.float32]:
        """Copy of the token embeddings, shape (rows, n_embd_out); for ``pooling="none"``."""
    def sequence_embedding(self, seq_id: int) -> NDArray[np.float32]:
        """The pooled embedding of a sequence; with ``pooling="rank"`` its ``n_cls_out`` scores."""
    def sample(
        self,
        rows: ArrayLike,
        samplers: Sequence[Sampler],
        masks: ArrayLike | None = None,
        out: NDArray[np.int32] | None = None,
    ) -> NDArray[np.int32]:
        """Choose one token per output row and let each sampler accept its own.

        ``masks`` has the shape (rows, ceil(n_vocab / 32)), int32 or uint32: bit ``i`` of word ``w``
        allows token ``32 * w + i``, and tokens that are not allowed count as impossible. A mask
        that allows nothing raises ``InvalidGrammar``. Where a row fails, the samplers of the others
        have accepted their tokens all the same; these are in ``out``, if that is given, which
        keeps what it held for those that failed.
        """
    def verify(
        self,
        rows: ArrayLike,
        drafts: ArrayLike,
        sampler: Sampler,
        masks: ArrayLike | None = None,
    ) -> NDArray[np.int32]:
        """Check the drafted tokens of one sequence; returns 1 to ``len(drafts) + 1`` tokens.

        ``rows[0]`` is the row of the token before the drafts and ``rows[i + 1]`` that of
        ``drafts[i]``. Row after row is sampled as :meth:`sample` would, until a token is not the
        one that was drafted; so tokens and sampler are those of sampling without drafts. The last
        token of the result is not in memory yet, and what the batch put there beyond the others is
        the caller's to remove.
        """
    def logprobs(
        self, row: int, token: int, n_top: int
    ) -> tuple[float, NDArray[np.int32], NDArray[np.float32]]:
        """Log-softmax of the raw logits: of ``token``, and the ``n_top`` likeliest, best first."""
    def token_logprobs(self, rows: ArrayLike, tokens: ArrayLike) -> NDArray[np.float32]:
        """Log-softmax of the raw logits of each row, at the token beside it."""

    # sequences; ranges are [p0, p1), a negative end is open
    def seq_rm(self, seq: int, p0: int = -1, p1: int = -1) -> bool:
        """False, and nothing changed, where the memory cannot remove just that part."""
    def seq_cp(self, src: int, dst: int, p0: int = -1, p1: int = -1) -> None:
        """Without ``kv_unified`` only a whole sequence can be copied, into an empty one."""
    def seq_keep(self, seq: int) -> None: ...
    def seq_add(self, seq: int, p0: int, p1: int, delta: int) -> None:
        """Move positions; other sequences that share the cells keep theirs (or ``OutOfCells``)."""
    def seq_div(self, seq: int, p0: int, p1: int, d: int) -> None: ...
    def seq_pos_min(self, seq: int) -> int:
        """Smallest position in memory, -1 for an empty sequence."""
    def seq_pos_max(self, seq: int) -> int: ...
    def clear(self, data: bool = True) -> None: ...

    # state of one sequence, with the tokens it was computed from, if they are given
    def state_seq_size(self, seq: int) -> int: ...
    def state_seq(self, seq: int, tokens: ArrayLike = ()) -> bytes: ...
    def set_state_seq(self, seq: int, data: bytes | bytearray | memoryview) -> NDArray[np.int32]:
        """Replace a sequence; returns the tokens saved with the state.

        A damaged state raises ``NativeError`` and changes nothing; one that does not fit this
        context leaves the sequence empty.
        """
    def save_state_seq(
        self, path: str | os.PathLike[str], seq: int, tokens: ArrayLike = ()
    ) -> int: ...
    def load_state_seq(self, path: str | os.PathLike[str], seq: int) -> NDArray[np.int32]: ...

    # control
    def set_threads(self, n_threads: int, n_threads_batch: int) -> None: ...
    def set_causal(self, causal: bool) -> None: ...
    def set_embeddings(self, embeddings: bool) -> None: ...
    def abort(self) -> None:
        """From any thread: end the running decode, and every later one, with ``Aborted``."""
    def clear_abort(self) -> None: ...
    def set_adapters(self, adapters: Sequence[tuple[Adapter, float]]) -> None: ...
    def memory_breakdown(self) -> dict[str, dict[str, int]]:
        """Bytes by buffer type, each with ``model``, ``context`` and ``compute``."""
    def synchronize(self) -> None: ...
    def perf(self) -> Perf: ...
    def reset_perf(self) -> None: ...

class Sampler:
    """Chooses tokens: llama-server's chain in its order, and a grammar.

    The parameters are those of ``types.SamplingParams``. ``n_ctx`` is what -1 means for
    ``repeat_last_n`` and ``dry_penalty_last_n``; 0 takes the trained length. ``grammar_prefill`` is
    the end of the prompt that the grammar has to have seen.
    """

    def __init__(
        self,
        model: Model,
        *,
        temperature: float = 0.8,
        top_k: int = 40,
        top_p: float = 0.9,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        top_n_sigma: float = -1.0,
        xtc_probability: float = 0.0,
        xtc_threshold: float = 0.1,
        dry_multiplier: float = 0.0,
        dry_base: float = 1.75,
        dry_allowed_length: int = 2,
        dry_penalty_last_n: int = -1,
        dry_sequence_breakers: Sequence[str] = ("\n", ":", '"', "*"),
        mirostat: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        repeat_last_n: int = 64,
        repeat_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        logit_bias: Mapping[int, float] | None = None,
        seed: int = -1,
        min_keep: int = 0,
        grammar: str | None = None,
        grammar_root: str = "root",
        grammar_lazy: bool = False,
        grammar_trigger_patterns: Sequence[str] = (),
        grammar_trigger_tokens: Sequence[int] = (),
        grammar_prefill: str = "",
        n_ctx: int = 0,
    ) -> None: ...
    @property
    def seed(self) -> int:
        """The seed in use; where -1 was asked for, the one that was drawn."""
    @property
    def chain(self) -> list[str]:
        """Names of the active steps, in order."""
    def sample(self, logits: ArrayLike, mask: ArrayLike | None = None) -> int:
        """Choose a token out of one row of logits and accept it.

        For logits that do not lie in a context; those are better sampled where they are, with
        :meth:`Context.sample`, which also describes ``mask`` (here of one dimension).
        """
    def accept(self, tokens: ArrayLike, *, grammar: bool = True) -> None:
        """Take note of tokens, for the penalties; a prompt's with ``grammar=False``.

        A token that the grammar does not allow raises ``InvalidGrammar``, and none is accepted.
        """
    def reset(self) -> None:
        """Back to the state after construction: same seed, nothing accepted."""
    def clone(self) -> Sampler: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...

class ChatTemplate:
    """A Jinja chat template. ``source=None`` takes the model's own, or ChatML if it has none."""

    def __init__(self, model: Model, source: str | None = None) -> None: ...
    @property
    def source(self) -> str: ...
    @property
    def capabilities(self) -> dict[str, bool]: ...
    def apply(self, request: str) -> RenderedChat:
        """Render a conversation.

        ``request`` is JSON: ``messages`` and ``tools`` as in OpenAI's chat API, ``tool_choice``
        (auto, none, required), ``parallel_tool_calls``, ``json_schema``, ``grammar``,
        ``add_generation_prompt``, ``continue_final_message``, ``enable_thinking``,
        ``reasoning_format`` (none, auto, deepseek, deepseek-legacy) and ``kwargs`` (more variables
        for the template). All but ``messages`` may be left out.
        """
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...

class DetachedTemplate:
    """A Jinja chat template without a model, which knows the texts of two tokens; else ChatML."""

    def __init__(self, source: str | None = None, *, bos: str = "", eos: str = "") -> None: ...
    def render(self, request: str) -> str:
        """Render a conversation, see :meth:`ChatTemplate.apply`, for :func:`read_rendered`."""

def read_rendered(model: Model, rendered: str) -> RenderedChat:
    """What a :class:`DetachedTemplate` rendered, with the tokens of a model."""

class RenderedChat:
    """A rendered prompt, and how to constrain and read the answer to it."""

    @property
    def prompt(self) -> str: ...
    @property
    def grammar(self) -> str:
        """GBNF that holds the model to the tools or the schema; empty if there is none."""
    @property
    def grammar_lazy(self) -> bool: ...
    @property
    def grammar_trigger_patterns(self) -> list[str]: ...
    @property
    def grammar_trigger_tokens(self) -> list[int]: ...
    @property
    def grammar_prefill(self) -> str:
        """End of the prompt that the grammar covers, see :class:`Sampler`."""
    @property
    def preserved_tokens(self) -> list[int]:
        """Special tokens that must be rendered as text for ``parse()`` to see them."""
    @property
    def stops(self) -> list[str]: ...
    @property
    def format(self) -> str: ...
    @property
    def thinking_start(self) -> str: ...
    @property
    def thinking_ends(self) -> list[str]: ...
    def parse(self, text: str, *, partial: bool) -> str:
        """Read an answer (all of it so far): JSON with ``content``, ``reasoning_content`` and
        ``tool_calls``, each with ``id``, ``name`` and ``arguments`` (JSON text)."""

def json_schema_to_grammar(schema: str) -> str:
    """GBNF for a JSON schema (as JSON text); ``InvalidGrammar`` names what is wrong with it."""

def check_grammar(grammar: str, root: str = "root") -> None:
    """Raise ``InvalidGrammar`` if a GBNF grammar cannot be used."""

def devices() -> list[Device]: ...
def system_info() -> str:
    """Instruction sets and backends that are in use, on one line."""

def llama_version() -> str: ...
def supports_gpu_offload() -> bool: ...
def supports_mmap() -> bool: ...
def supports_mlock() -> bool: ...
def max_devices() -> int: ...
def max_sequences() -> int:
    """Upper limit of ``n_seq_max``."""

def kernels() -> list[str]:
    """Instruction sets that sampling can use on this processor; the first is the default."""

def set_kernels(name: str) -> None:
    """Use one of :func:`kernels` in the whole process, to test it or to measure it."""

def quantize(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    type: str,
    *,
    n_threads: int = 0,
    allow_requantize: bool = False,
    quantize_output: bool = True,
    pure: bool = False,
    output_type: str | None = None,
    embedding_type: str | None = None,
) -> None:
    """Write a quantised copy. ``type`` is a name out of :func:`quantization_types`.

    ``n_threads=0`` uses all cores. A failed run leaves ``dst`` as it was.
    """

def quantization_types() -> list[str]:
    """Names as in ``Q4_K_M``."""

def drain_log() -> list[tuple[int, str]]:
    """Take the messages of llama.cpp since the last call: (level of ``logging``, one line).

    The ring is bounded; where lines were lost, one message says how many.
    """

def set_log_level(level: int) -> None:
    """Drop log lines below this level of ``logging`` at once. Starts at ``logging.INFO``."""
