cdef class Sampler:
    """Chooses the next token out of logits."""

    cdef shared_ptr[NativeSampler] native

    def __init__(
        self,
        Model model not None,
        *,
        temperature=0.8,
        top_k=40,
        top_p=0.9,
        min_p=0.0,
        typical_p=1.0,
        top_n_sigma=-1.0,
        xtc_probability=0.0,
        xtc_threshold=0.1,
        dry_multiplier=0.0,
        dry_base=1.75,
        dry_allowed_length=2,
        dry_penalty_last_n=-1,
        dry_sequence_breakers=("\n", ":", '"', "*"),
        mirostat=0,
        mirostat_tau=5.0,
        mirostat_eta=0.1,
        repeat_last_n=64,
        repeat_penalty=1.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        logit_bias=None,
        seed=-1,
        min_keep=0,
        grammar=None,
        grammar_root="root",
        grammar_lazy=False,
        grammar_trigger_patterns=(),
        grammar_trigger_tokens=(),
        grammar_prefill="",
        n_ctx=0,
    ):
        cdef SamplerParams params
        cdef shared_ptr[NativeModel] native_model = model.use()
        cdef pair[int32_t, float] bias
        params.temperature = temperature
        params.top_k = _int("top_k", top_k)
        params.top_p = top_p
        params.min_p = min_p
        params.typical_p = typical_p
        params.top_n_sigma = top_n_sigma
        params.xtc_probability = xtc_probability
        params.xtc_threshold = xtc_threshold
        params.dry_multiplier = dry_multiplier
        params.dry_base = dry_base
        params.dry_allowed_length = _int("dry_allowed_length", dry_allowed_length)
        params.dry_penalty_last_n = _int("dry_penalty_last_n", dry_penalty_last_n)
        params.dry_sequence_breakers = _utf8s(dry_sequence_breakers)
        params.mirostat = _int("mirostat", mirostat)
        params.mirostat_tau = mirostat_tau
        params.mirostat_eta = mirostat_eta
        params.repeat_last_n = _int("repeat_last_n", repeat_last_n)
        params.repeat_penalty = repeat_penalty
        params.presence_penalty = presence_penalty
        params.frequency_penalty = frequency_penalty
        for token, value in (logit_bias or {}).items():
            bias.first = _int("logit_bias", token)
            bias.second = value
            params.logit_bias.push_back(bias)
        params.seed = -1 if seed < 0 else seed & 0xffffffff
        params.min_keep = _int("min_keep", min_keep)
        params.grammar = _utf8(grammar or "")
        params.grammar_root = _utf8(grammar_root)
        params.grammar_lazy = grammar_lazy
        params.grammar_trigger_patterns = _utf8s(grammar_trigger_patterns)
        for token in grammar_trigger_tokens:
            params.grammar_trigger_tokens.push_back(_int("grammar_trigger_tokens", token))
        params.grammar_prefill = _utf8(grammar_prefill)
        params.n_ctx = _int("n_ctx", n_ctx)
        with nogil:
            self.native.reset(new NativeSampler(native_model, params))

    cdef shared_ptr[NativeSampler] use(self) except *:
        if self.native.get() == NULL:
            raise errors.NativeError("the sampler is closed")
        return self.native

    @property
    def seed(self):
        return self.use().get().seed()

    @property
    def chain(self):
        return _texts(self.use().get().chain())

    def sample(self, logits, mask=None):
        cdef shared_ptr[NativeSampler] native = self.use()
        values = np.array(logits, np.float32, order="C")
        if values.ndim != 1:
            raise errors.InvalidRequest(
                f"logits must have one dimension, not {values.ndim}", field="logits")
        cdef float[::1] view = values
        cdef size_t count = <size_t>values.size
        cdef const uint32_t[:, ::1] mask_view = _masks(
            None if mask is None else np.asarray(mask)[None], 1, (count + 31) // 32)
        cdef const uint32_t * bits = _words(mask_view)
        cdef int32_t token
        if count == 0:
            raise errors.InvalidRequest("logits are empty", field="logits")
        with nogil:
            token = native.get().sample(&view[0], count, bits)
        return token

    def accept(self, tokens, *, grammar=True):
        cdef shared_ptr[NativeSampler] native = self.use()
        cdef const int32_t[::1] ids = _int32s("tokens", tokens)
        cdef cbool with_grammar = grammar
        with nogil:
            native.get().accept(_data(ids), <size_t>ids.shape[0], with_grammar)

    def reset(self):
        cdef shared_ptr[NativeSampler] native = self.use()
        with nogil:
            native.get().reset()

    def clone(self):
        cdef Sampler copy = Sampler.__new__(Sampler)
        cdef shared_ptr[NativeSampler] native = self.use()
        with nogil:
            copy.native = native.get().clone()
        return copy

    def close(self):
        self.native.reset()

    def __dealloc__(self):
        self.native.reset()

    @property
    def closed(self):
        return self.native.get() == NULL


def check_grammar(grammar, root="root"):
    cdef string text = _utf8(grammar)
    cdef string name = _utf8(root)
    with nogil:
        native_check_grammar(text, name)


def json_schema_to_grammar(schema):
    cdef string text = _utf8(schema)
    with nogil:
        text = native_json_schema_to_grammar(text)
    return _text(text)
