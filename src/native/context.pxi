class Perf(NamedTuple):
    prompt_ms: float
    eval_ms: float
    prompt_tokens: int
    eval_tokens: int
    graphs_reused: int


cdef class Context:
    """The cache and the compute graph of some sequences."""

    cdef shared_ptr[NativeContext] native
    cdef object __weakref__

    def __init__(
        self,
        Model model not None,
        *,
        n_ctx=0,
        n_batch=2048,
        n_ubatch=512,
        n_seq_max=1,
        n_threads=0,
        n_threads_batch=0,
        embeddings=False,
        pooling=None,
        attention=None,
        flash_attn=None,
        type_k="f16",
        type_v="f16",
        kv_unified=True,
        swa_full=True,
        offload_kqv=True,
        op_offload=True,
        rope_scaling=None,
        rope_freq_base=0.0,
        rope_freq_scale=0.0,
        yarn_ext_factor=None,
        yarn_attn_factor=None,
        yarn_beta_fast=None,
        yarn_beta_slow=None,
        yarn_orig_ctx=0,
    ):
        cdef ContextParams params
        cdef shared_ptr[NativeModel] native_model = model.use()
        params.n_ctx = _count("n_ctx", n_ctx)
        params.n_batch = _count("n_batch", n_batch)
        params.n_ubatch = _count("n_ubatch", n_ubatch)
        params.n_seq_max = _count("n_seq_max", n_seq_max)
        params.n_threads = _int("n_threads", n_threads)
        params.n_threads_batch = _int("n_threads_batch", n_threads_batch)
        params.embeddings = embeddings
        params.pooling = _utf8(pooling or "")
        params.attention = _utf8(attention or "")
        params.flash_attn = -1 if flash_attn is None else bool(flash_attn)
        params.type_k = _utf8(type_k)
        params.type_v = _utf8(type_v)
        params.kv_unified = kv_unified
        params.swa_full = swa_full
        params.offload_kqv = offload_kqv
        params.op_offload = op_offload
        params.rope_scaling = _utf8(rope_scaling or "")
        params.rope_freq_base = rope_freq_base
        params.rope_freq_scale = rope_freq_scale
        params.yarn_ext_factor = -1.0 if yarn_ext_factor is None else yarn_ext_factor
        params.yarn_attn_factor = -1.0 if yarn_attn_factor is None else yarn_attn_factor
        params.yarn_beta_fast = -1.0 if yarn_beta_fast is None else yarn_beta_fast
        params.yarn_beta_slow = -1.0 if yarn_beta_slow is None else yarn_beta_slow
        params.yarn_orig_ctx = _count("yarn_orig_ctx", yarn_orig_ctx)
        with nogil:
            self.native.reset(new NativeContext(native_model, params))

    cdef shared_ptr[NativeContext] use(self) except *:
        if self.native.get() == NULL:
            raise errors.NativeError("the context is closed")
        return self.native

    def close(self):
        cdef shared_ptr[NativeContext] dropped = move(self.native)
        self.native.reset()
        with nogil:
            dropped.reset()

    def __dealloc__(self):
        self.native.reset()

    @property
    def closed(self):
        return self.native.get() == NULL

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- facts

    @property
    def n_ctx(self):
        return self.use().get().n_ctx()

    @property
    def n_ctx_seq(self):
        return self.use().get().n_ctx_seq()

    @property
    def n_batch(self):
        return self.use().get().n_batch()

    @property
    def n_ubatch(self):
        return self.use().get().n_ubatch()

    @property
    def n_seq_max(self):
        return self.use().get().n_seq_max()

    @property
    def pooling(self):
        return _text(self.use().get().pooling())

    @property
    def causal(self):
        return self.use().get().causal()

    @property
    def n_threads(self):
        return self.use().get().n_threads()

    @property
    def n_threads_batch(self):
        return self.use().get().n_threads_batch()

    @property
    def n_outputs(self):
        return self.use().get().n_outputs()

    @property
    def has_memory(self):
        return self.use().get().memory_facts().present

    @property
    def kv_unified(self):
        return self.use().get().memory_facts().unified

    @property
    def can_shift(self):
        return self.use().get().memory_facts().can_shift

    @property
    def supports_partial_removal(self):
        cdef shared_ptr[NativeContext] native = self.use()
        return native.get().memory_facts().present and not native.get().memory_facts().recurrent

    @property
    def swa_full(self):
        return self.use().get().memory_facts().swa_full

    # --- compute

    def decode(self, tokens, positions, seq_ids, outputs):
        return self._run(tokens, positions, seq_ids, outputs, False)

    def encode(self, tokens, positions, seq_ids, outputs):
        return self._run(tokens, positions, seq_ids, outputs, True)

    cdef size_t _run(self, tokens, positions, seq_ids, outputs, bint encode) except? 0:
        cdef shared_ptr[NativeContext] native = self.use()
        cdef const int32_t[::1] token_view = _int32s("tokens", tokens)
        cdef const int32_t[::1] position_view = _int32s("positions", positions)
        cdef const int32_t[::1] seq_view = _int32s("seq_ids", seq_ids)
        cdef const int8_t[::1] output_view = _flags("outputs", outputs)
        cdef Batch batch
        cdef size_t rows
        cdef Py_ssize_t size = token_view.shape[0]
        if not (position_view.shape[0] == seq_view.shape[0] == output_view.shape[0] == size):
            raise errors.InvalidRequest(
                f"the arrays of a batch differ in length: {size} tokens, "
                f"{position_view.shape[0]} positions, {seq_view.shape[0]} seq_ids, "
                f"{output_view.shape[0]} outputs"
            )
        if size == 0:
            raise errors.InvalidRequest("the batch is empty", field="tokens")
        batch.tokens = &token_view[0]
        batch.positions = &position_view[0]
        batch.seq_ids = &seq_view[0]
        batch.outputs = &output_view[0]
        batch.size = <size_t>size
        with nogil:
            rows = native.get().encode(batch) if encode else native.get().decode(batch)
        return rows

    def logits(self, rows=None):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef const int32_t[::1] wanted = self._rows(rows)
        out = np.empty((wanted.shape[0], native.get().logits_width()), np.float32)
        cdef float[:, ::1] view = out
        if out.size > 0:
            with nogil:
                native.get().copy_logits(&wanted[0], <size_t>wanted.shape[0], &view[0, 0])
        return out

    def embeddings(self, rows=None):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef const int32_t[::1] wanted = self._rows(rows)
        out = np.empty((wanted.shape[0], native.get().embedding_width()), np.float32)
        cdef float[:, ::1] view = out
        if out.size > 0:
            with nogil:
                native.get().copy_embeddings(&wanted[0], <size_t>wanted.shape[0], &view[0, 0])
        return out

    cdef object _rows(self, rows):
        if rows is None:
            return np.arange(self.use().get().n_outputs(), dtype=np.int32)
        return _int32s("rows", rows)

    def sequence_embedding(self, seq_id):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t seq = _int("seq_id", seq_id)
        cdef vector[float] values
        with nogil:
            values = native.get().sequence_embedding(seq)
        return _float_array(values)

    def sample(self, rows, samplers, masks=None, out=None):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef const int32_t[::1] wanted = _int32s("rows", rows)
        cdef const uint32_t[:, ::1] mask_view = _masks(
            masks, wanted.shape[0], native.get().mask_words())
        cdef const uint32_t * bits = _words(mask_view)
        cdef vector[shared_ptr[NativeSampler]] native_samplers
        for sampler in samplers:
            if not isinstance(sampler, Sampler):
                raise TypeError(f"expected a Sampler, got {type(sampler).__name__}")
            native_samplers.push_back((<Sampler>sampler).use())
        if native_samplers.size() != <size_t>wanted.shape[0]:
            raise errors.InvalidRequest(
                f"{wanted.shape[0]} rows need as many samplers, not {native_samplers.size()}")
        if out is None:
            out = np.empty(wanted.shape[0], np.int32)
        elif len(out) != wanted.shape[0]:
            raise errors.InvalidRequest(
                f"{wanted.shape[0]} rows need as many tokens, not {len(out)}", field="out")
        cdef int32_t[::1] view = out
        if wanted.shape[0] > 0:
            with nogil:
                native.get().sample(&wanted[0], native_samplers, bits, &view[0])
        return out

    def verify(self, rows, drafts, Sampler sampler not None, masks=None):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef shared_ptr[NativeSampler] native_sampler = sampler.use()
        cdef const int32_t[::1] wanted = _int32s("rows", rows)
        cdef const int32_t[::1] proposed = _int32s("drafts", drafts)
        cdef const uint32_t[:, ::1] mask_view = _masks(
            masks, wanted.shape[0], native.get().mask_words())
        cdef const uint32_t * bits = _words(mask_view)
        cdef size_t n_drafts = <size_t>proposed.shape[0]
        cdef size_t sampled
        if <size_t>wanted.shape[0] != n_drafts + 1:
            raise errors.InvalidRequest(
                f"{n_drafts} drafts need one row more than drafts, not {wanted.shape[0]}",
                field="rows")
        out = np.empty(wanted.shape[0], np.int32)
        cdef int32_t[::1] view = out
        with nogil:
            sampled = native.get().verify(
                &wanted[0], _data(proposed), n_drafts, native_sampler.get()[0], bits, &view[0])
        return out[:sampled]

    def logprobs(self, row, token, n_top):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t native_row = _int("row", row)
        cdef int32_t native_token = _int("token", token)
        cdef int32_t native_top = _int("n_top", n_top)
        cdef TokenLogprobs result
        with nogil:
            result = native.get().logprobs(native_row, native_token, native_top)
        return result.chosen, _int32_array(result.top_ids), _float_array(result.top_logprobs)

    def token_logprobs(self, rows, tokens):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef const int32_t[::1] wanted = _int32s("rows", rows)
        cdef const int32_t[::1] ids = _int32s("tokens", tokens)
        if ids.shape[0] != wanted.shape[0]:
            raise errors.InvalidRequest(
                f"{wanted.shape[0]} rows need as many tokens, not {ids.shape[0]}", field="tokens")
        out = np.empty(wanted.shape[0], np.float32)
        cdef float[::1] view = out
        if wanted.shape[0] > 0:
            with nogil:
                native.get().token_logprobs(
                    &wanted[0], &ids[0], <size_t>wanted.shape[0], &view[0])
        return out

    # --- sequences

    def seq_rm(self, seq, p0=-1, p1=-1):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t native_seq = _int("seq", seq)
        cdef int32_t begin = _int("p0", p0)
        cdef int32_t end = _int("p1", p1)
        cdef cbool removed
        with nogil:
            removed = native.get().seq_rm(native_seq, begin, end)
        return removed

    def seq_cp(self, src, dst, p0=-1, p1=-1):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t source = _int("src", src)
        cdef int32_t target = _int("dst", dst)
        cdef int32_t begin = _int("p0", p0)
        cdef int32_t end = _int("p1", p1)
        with nogil:
            native.get().seq_cp(source, target, begin, end)

    def seq_keep(self, seq):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t native_seq = _int("seq", seq)
        with nogil:
            native.get().seq_keep(native_seq)

    def seq_add(self, seq, p0, p1, delta):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t native_seq = _int("seq", seq)
        cdef int32_t begin = _int("p0", p0)
        cdef int32_t end = _int("p1", p1)
        cdef int32_t distance = _int("delta", delta)
        with nogil:
            native.get().seq_add(native_seq, begin, end, distance)

    def seq_div(self, seq, p0, p1, d):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t native_seq = _int("seq", seq)
        cdef int32_t begin = _int("p0", p0)
        cdef int32_t end = _int("p1", p1)
        cdef int32_t divisor = _int("d", d)
        with nogil:
            native.get().seq_div(native_seq, begin, end, divisor)

    def seq_pos_min(self, seq):
        return self.use().get().seq_pos_min(_int("seq", seq))

    def seq_pos_max(self, seq):
        return self.use().get().seq_pos_max(_int("seq", seq))

    def clear(self, data=True):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef cbool with_data = data
        with nogil:
            native.get().clear(with_data)

    # --- state

    def state_seq_size(self, seq):
        return self.use().get().state_size(_int("seq", seq), 0)

    def state_seq(self, seq, tokens=()):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t native_seq = _int("seq", seq)
        cdef const int32_t[::1] ids = _int32s("tokens", tokens)
        cdef size_t count = <size_t>ids.shape[0]
        cdef size_t size = native.get().state_size(native_seq, count)
        cdef bytes data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        cdef uint8_t * out = <uint8_t *>PyBytes_AS_STRING(data)
        with nogil:
            native.get().save_state(native_seq, _data(ids), count, out, size)
        return data

    def set_state_seq(self, seq, data):
        cdef shared_ptr[NativeContext] native = self.use()
        cdef int32_t native_seq = _int("seq", seq)
        cdef const uint8_t[::1] state = data
        cdef const uint8_t * begin = &state[0] if state.shape[0] > 0 else NULL
        cdef vector[int32_t] tokens
        with nogil:
            tokens = native.get().restore_state(native_seq, begin, <size_t>state.shape[0])
        return _int32_array(tokens)

    def save_state_seq(self, path, seq, tokens=()):
        state = self.state_seq(seq, tokens)
        with open(path, "wb") as file:
            file.write(state)
        return len(state)

    def load_state_seq(self, path, seq):
        with open(path, "rb") as file:
            state = file.read()
        return self.set_state_seq(seq, state)

    # --- control

    def set_threads(self, n_threads, n_threads_batch):
        self.use().get().set_threads(
            _int("n_threads", n_threads), _int("n_threads_batch", n_threads_batch))

    def set_causal(self, causal):
        self.use().get().set_causal(causal)

    def set_embeddings(self, embeddings):
        self.use().get().set_embeddings(embeddings)

    def abort(self):
        self.use().get().abort()

    def clear_abort(self):
        self.use().get().clear_abort()

    def set_adapters(self, adapters):
        cdef vector[shared_ptr[NativeAdapter]] native_adapters
        cdef vector[float] scales
        for adapter, scale in adapters:
            if not isinstance(adapter, Adapter):
                raise TypeError(f"expected an Adapter, got {type(adapter).__name__}")
            native_adapters.push_back((<Adapter>adapter).use())
            scales.push_back(scale)
        self.use().get().set_adapters(native_adapters, scales)

    def memory_breakdown(self):
        cdef cmap[string, MemoryUse] found = self.use().get().memory_breakdown()
        return {
            _text(item.first): {
                "model": item.second.model,
                "context": item.second.context,
                "compute": item.second.compute,
            }
            for item in found
        }

    def synchronize(self):
        cdef shared_ptr[NativeContext] native = self.use()
        with nogil:
            native.get().synchronize()

    def perf(self):
        cdef NativePerf perf = self.use().get().perf()
        return Perf(
            perf.prompt_ms, perf.eval_ms, perf.prompt_tokens, perf.eval_tokens,
            perf.graphs_reused)

    def reset_perf(self):
        self.use().get().reset_perf()
