"""The data that travels between the rooms: requests going down, events coming up.

All of it is plain msgspec data, so it can cross a process boundary unchanged. Text-level requests
(:class:`ChatRequest` ...) enter ``service/``; token-level requests (:class:`GenerateRequest`,
:class:`EmbedRequest`) enter an engine. Durations are integer nanoseconds.
"""

from __future__ import annotations

import builtins
from typing import Any, Literal

import msgspec

from pyollama.errors import ErrorInfo

JSON = dict[str, Any]


# --- conversation -------------------------------------------------------------------------------


class ToolCall(msgspec.Struct, frozen=True):
    """One call of a function. ``arguments`` keeps the key order it was written in."""

    name: str
    arguments: JSON
    id: str = ""
    index: int = 0


class Message(msgspec.Struct, frozen=True):
    """One turn. ``images`` are the raw bytes of image or audio files."""

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[bytes, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""


class Tool(msgspec.Struct, frozen=True):
    """A function a model may call; ``parameters`` is its JSON schema, untouched."""

    name: str
    description: str = ""
    parameters: JSON = msgspec.field(default_factory=dict)
    type: str = "function"


# --- sampling and loading -----------------------------------------------------------------------


class Grammar(msgspec.Struct, frozen=True):
    """What an answer has to look like: ``text`` is written in the language that ``kind`` says.

    "json" is any JSON object and has no text; "json_schema" is the schema as JSON text; "regex" is
    in the syntax of Rust's regex crate, "lark" in llguidance's dialect of Lark. The rest is for
    "gbnf", which llama.cpp follows itself: a ``lazy`` grammar stays asleep until a trigger matches
    the output, ``prefill`` is the end of the prompt that the grammar begins with.
    """

    text: str = ""
    kind: Literal["gbnf", "json", "json_schema", "regex", "lark"] = "gbnf"
    root: str = "root"
    lazy: bool = False
    trigger_patterns: tuple[str, ...] = ()
    trigger_tokens: tuple[int, ...] = ()
    prefill: str = ""


class SamplingParams(msgspec.Struct, frozen=True):
    """How the next token is chosen. The defaults are Ollama's; neutral values switch a step off.

    ``seed`` -1 means a random one; ``temperature`` <= 0 means greedy; ``repeat_last_n`` and
    ``dry_penalty_last_n`` count tokens, 0 switches off and -1 means the whole context.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = msgspec.field(default_factory=dict)
    seed: int = -1
    min_keep: int = 0
    grammar: Grammar | None = None


class LoadOptions(msgspec.Struct, frozen=True):
    """How a model is put into memory. ``None`` means: let the runtime decide."""

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None


# --- engine: requests and events ----------------------------------------------------------------


Priority = Literal["interactive", "normal", "batch"]

Adapters = tuple[tuple[str, float], ...]
"""LoRA adapters and their scales; each is named by its file, or by how the model calls it."""


class GenerateRequest(msgspec.Struct, frozen=True):
    """Continue ``tokens`` until a limit, a stop text or the model ends it.

    ``n_ctx`` is this request's own context limit (0: the engine's). ``max_tokens`` < 0 means up to
    the context. ``logprobs`` is the number of alternatives wanted beside the chosen token, ``None``
    switches log-probabilities off; ``prompt_logprobs`` asks for those of the prompt, for which all
    of it has to be computed, cached or not. ``preserved_tokens`` are special tokens shown as text.
    When the context is full, ``shift`` drops the older half behind the first ``n_keep`` tokens.
    ``key`` says who asks: within a ``priority``, keys get equal shares. ``adapters`` take the place
    of those that the model was loaded with; ``None`` leaves them. At most ``max_draft`` tokens are
    drafted at a time: 0 switches speculation off, -1 leaves it to the engine.
    """

    id: str
    tokens: list[int]
    sampling: SamplingParams = SamplingParams()
    max_tokens: int = -1
    stop: tuple[str, ...] = ()
    n_ctx: int = 0
    n_keep: int = 0
    shift: bool = False
    logprobs: int | None = None
    prompt_logprobs: bool = False
    preserved_tokens: tuple[int, ...] = ()
    ignore_eos: bool = False
    max_draft: int = -1
    priority: Priority = "normal"
    key: str = ""
    adapters: Adapters | None = None


class EmbedRequest(msgspec.Struct, frozen=True):
    """Embed each token list of ``inputs`` by itself; see :class:`GenerateRequest`."""

    id: str
    inputs: list[list[int]]
    adapters: Adapters | None = None


class TokenLogprob(msgspec.Struct, frozen=True):
    """``bytes`` is the exact piece; ``token`` the same as text (invalid UTF-8 replaced)."""

    token: str
    logprob: float
    bytes: builtins.bytes
    top: tuple[TokenLogprob, ...] = ()


class Usage(msgspec.Struct, frozen=True):
    """What one request cost.

    ``prompt_tokens`` includes ``cached_tokens``. Of ``draft_tokens`` that were computed ahead
    ``accepted_tokens`` became part of the answer; those are among ``completion_tokens``, and so are
    the ``thinking_tokens`` before the answer, which only the reader of the answer can tell.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    queue_duration: int = 0
    prompt_duration: int = 0
    eval_duration: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0
    thinking_tokens: int = 0


FinishReason = Literal["stop", "length", "aborted"]


class Tokens(msgspec.Struct, frozen=True, tag=True):
    """New output. ``text`` may be empty while a character or a stop text is still incomplete."""

    id: str
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()


class ContextShifted(msgspec.Struct, frozen=True, tag=True):
    """The context was full: ``discarded`` tokens behind the first ``kept`` were dropped."""

    id: str
    kept: int
    discarded: int


class Finished(msgspec.Struct, frozen=True, tag=True):
    """Terminal. ``limit`` says which limit a ``length`` finish ran into.

    ``prompt_logprobs``, if asked for, is float32: the log-probability of each token of the prompt
    but the first, given those before it.
    """

    id: str
    reason: FinishReason
    usage: Usage
    stop: str = ""
    limit: Literal["", "max_tokens", "context"] = ""
    prompt_logprobs: bytes = b""


class Embedded(msgspec.Struct, frozen=True, tag=True):
    """Terminal. ``vectors`` is float32, row-major, shape (number of inputs, ``dimensions``)."""

    id: str
    vectors: bytes
    dimensions: int
    usage: Usage


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Terminal: the request ended with an error."""

    id: str
    error: ErrorInfo


EngineEvent = Tokens | ContextShifted | Finished | Embedded | Failed


class EngineInfo(msgspec.Struct, frozen=True):
    """What is true of a loaded model as long as it is loaded. Sizes are bytes.

    ``pooling`` is how a model for embeddings sums up an input: mean, cls, last, or rank, which
    gives the scores of a classifier instead of a vector. ``n_embd`` is the width of the result.
    """

    n_ctx: int
    n_ctx_train: int
    n_slots: int
    n_vocab: int
    n_embd: int
    size: int
    size_vram: int
    can_shift: bool
    embeddings: bool
    pooling: str = ""


class EngineStats(msgspec.Struct, frozen=True):
    """A moment's view of a running engine.

    Those with a default count since the engine was loaded: requests that ran and are over, those of
    them that found a part of their prompt, tokens of their prompts and how many of these were
    cached, tokens that were computed and that were sampled, requests that had to give way for a
    while, and retired prefixes that had to for good.
    """

    waiting: int
    running: int
    slots: int
    cells_used: int
    cells: int
    steps: int
    finished: int = 0
    hits: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    computed_tokens: int = 0
    sampled_tokens: int = 0
    preemptions: int = 0
    evictions: int = 0


# --- services: requests and events --------------------------------------------------------------


class GenerationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What chat and completion requests have in common.

    ``options`` are Ollama's option names as sent; ``format`` is "json", a JSON schema or ``None``
    (any other value is refused when the model is about to run); ``keep_alive`` is in seconds
    (negative: for ever, ``None``: as it is); ``render_only`` asks for the prompt, not the answer;
    ``priority`` and ``key`` are those of :class:`GenerateRequest`; with ``files`` the ``model`` may
    be a file of this machine; ``id`` is what the caller knows the request by.
    """

    model: str
    files: bool = False
    options: JSON = msgspec.field(default_factory=dict)
    format: Any = None
    keep_alive: float | None = None
    think: bool | str | None = None
    truncate: bool = True
    shift: bool | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    render_only: bool = False
    priority: Priority = "normal"
    key: str = ""
    id: str = ""


class ChatRequest(GenerationOptions, frozen=True, kw_only=True):
    """Answer a conversation."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()


class CompletionRequest(GenerationOptions, frozen=True, kw_only=True):
    """Continue one prompt; ``context`` are token ids of an earlier answer (none is not no ids)."""

    prompt: str
    suffix: str = ""
    system: str | None = None
    template: str | None = None
    context: tuple[int, ...] | None = None
    raw: bool = False
    images: tuple[bytes, ...] = ()


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Embed texts, in order. See :class:`GenerationOptions` for ``files``."""

    model: str
    files: bool = False
    inputs: tuple[str, ...]
    truncate: bool = True
    dimensions: int = 0
    normalize: bool = True
    keep_alive: float | None = None
    options: JSON = msgspec.field(default_factory=dict)


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Say how likely ``text`` is after ``prompt``. See :class:`GenerationOptions`."""

    model: str
    files: bool = False
    text: str
    prompt: str = ""
    keep_alive: float | None = None
    options: JSON = msgspec.field(default_factory=dict)


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Say how well each document answers the query. See :class:`GenerationOptions`."""

    model: str
    files: bool = False
    query: str
    documents: tuple[str, ...]
    keep_alive: float | None = None
    options: JSON = msgspec.field(default_factory=dict)


class Delta(msgspec.Struct, frozen=True, tag=True):
    """A piece of an answer; any of the parts may be empty."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


class Truncated(msgspec.Struct, frozen=True):
    """How much of an input was dropped so that it fits, and what is left of it, in tokens."""

    dropped: int
    kept: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """Terminal event of an answer.

    ``tail`` is the output that only the end itself set free, to be shown before the end;
    ``context`` are the tokens of prompt and answer; ``shifted`` is how many tokens were dropped
    because the context was full while the answer was written.
    """

    reason: Literal["stop", "length", "load", "unload"]
    tail: Delta = Delta()
    usage: Usage = Usage()
    total_duration: int = 0
    load_duration: int = 0
    context: tuple[int, ...] = ()
    truncated: Truncated | None = None
    shifted: int = 0


class Rendered(msgspec.Struct, frozen=True, tag=True):
    """Terminal event of a ``render_only`` request."""

    prompt: str
    images: int = 0


AnswerEvent = Delta | Done | Rendered


class CreateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Make a model out of uploaded files or of another model (``base``), with changes.

    ``files``, ``adapters`` and ``draft_files`` map paths to the digests of uploaded blobs; an empty
    map is not the same as none. ``info`` replaces what the files say about themselves.
    """

    model: str
    base: str = ""
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    template: str = ""
    system: str = ""
    licenses: tuple[str, ...] = ()
    parameters: JSON = msgspec.field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    quantize: str = ""
    draft_quantize: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    info: JSON = msgspec.field(default_factory=dict)


class TransferRequest(msgspec.Struct, frozen=True):
    """Fetch a model from a registry, or bring it there.

    ``insecure`` allows plain HTTP and private addresses; ``limit_rate`` is bytes per second, 0 no
    limit.
    """

    model: str
    insecure: bool = False
    limit_rate: int = 0


class Progress(msgspec.Struct, frozen=True, tag=True):
    """One step of a long task on the store; the last one of a success says ``success``."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0
