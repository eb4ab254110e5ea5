cdef class LoadProgress:
    """What a running load has done; can cancel it from any thread."""

    cdef shared_ptr[NativeProgress] native

    def __cinit__(self):
        self.native = make_shared[NativeProgress]()

    @property
    def value(self):
        return self.native.get().value.load()

    @property
    def cancelled(self):
        return self.native.get().cancelled.load()

    def cancel(self):
        self.native.get().cancelled.store(True)


cdef class Model:
    """Weights and vocabulary of a GGUF file."""

    cdef shared_ptr[NativeModel] native
    cdef object __weakref__

    def __init__(
        self,
        path,
        *,
        vocab_only=False,
        use_mmap=None,
        use_mlock=False,
        n_gpu_layers=-1,
        split_mode="layer",
        main_gpu=0,
        tensor_split=None,
        devices=None,
        check_tensors=False,
        LoadProgress progress=None,
    ):
        cdef ModelParams params
        cdef shared_ptr[NativeProgress] native_progress
        params.path = _path(path)
        params.vocab_only = vocab_only
        params.use_mmap = -1 if use_mmap is None else bool(use_mmap)
        params.use_mlock = use_mlock
        params.n_gpu_layers = _int("n_gpu_layers", n_gpu_layers)
        params.split_mode = _utf8(split_mode)
        params.main_gpu = _int("main_gpu", main_gpu)
        for part in tensor_split or ():
            params.tensor_split.push_back(part)
        params.choose_devices = devices is not None
        params.devices = _utf8s(devices or ())
        params.check_tensors = check_tensors
        if progress is not None:
            native_progress = progress.native
        with nogil:
            self.native = NativeModel.load(params, native_progress)

    cdef shared_ptr[NativeModel] use(self) except *:
        if self.native.get() == NULL:
            raise errors.NativeError("the model is closed")
        return self.native

    def close(self):
        cdef shared_ptr[NativeModel] dropped = move(self.native)
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

    def __repr__(self):
        return "<closed Model>" if self.closed else f"<Model {self.path}: {self.description}>"

    # --- facts

    @property
    def path(self):
        return os.fsdecode(self.use().get().path())

    @property
    def vocab_only(self):
        return self.use().get().vocab_only()

    @property
    def metadata(self):
        return _metadata(self.use().get().metadata())

    @property
    def description(self):
        return _text(self.use().get().facts().description)

    @property
    def file_type(self):
        return _text(self.use().get().facts().file_type)

    @property
    def n_params(self):
        return self.use().get().facts().n_params

    @property
    def size(self):
        return self.use().get().facts().size

    @property
    def n_ctx_train(self):
        return self.use().get().facts().n_ctx_train

    @property
    def n_embd(self):
        return self.use().get().facts().n_embd

    @property
    def n_embd_out(self):
        return self.use().get().facts().n_embd_out

    @property
    def n_layer(self):
        return self.use().get().facts().n_layer

    @property
    def n_head(self):
        return self.use().get().facts().n_head

    @property
    def n_head_kv(self):
        return self.use().get().facts().n_head_kv

    @property
    def n_swa(self):
        return self.use().get().facts().n_swa

    @property
    def n_cls_out(self):
        return self.use().get().facts().class_labels.size()

    @property
    def class_labels(self):
        return _texts(self.use().get().facts().class_labels)

    @property
    def rope_type(self):
        return _text(self.use().get().facts().rope_type)

    @property
    def rope_freq_scale_train(self):
        return self.use().get().facts().rope_freq_scale_train

    @property
    def has_encoder(self):
        return self.use().get().facts().has_encoder

    @property
    def has_decoder(self):
        return self.use().get().facts().has_decoder

    @property
    def is_recurrent(self):
        return self.use().get().facts().is_recurrent

    @property
    def is_hybrid(self):
        return self.use().get().facts().is_hybrid

    @property
    def is_diffusion(self):
        return self.use().get().facts().is_diffusion

    @property
    def decoder_start_token(self):
        return self.use().get().facts().decoder_start_token

    # --- vocabulary

    @property
    def n_vocab(self):
        return self.use().get().vocab().size()

    @property
    def vocab_type(self):
        return _text(self.use().get().vocab().type())

    @property
    def bos(self):
        return self.use().get().vocab().special().bos

    @property
    def eos(self):
        return self.use().get().vocab().special().eos

    @property
    def eot(self):
        return self.use().get().vocab().special().eot

    @property
    def sep(self):
        return self.use().get().vocab().special().sep

    @property
    def nl(self):
        return self.use().get().vocab().special().nl

    @property
    def pad(self):
        return self.use().get().vocab().special().pad

    @property
    def mask(self):
        return self.use().get().vocab().special().mask

    @property
    def fim_pre(self):
        return self.use().get().vocab().special().fim_pre

    @property
    def fim_suf(self):
        return self.use().get().vocab().special().fim_suf

    @property
    def fim_mid(self):
        return self.use().get().vocab().special().fim_mid

    @property
    def fim_pad(self):
        return self.use().get().vocab().special().fim_pad

    @property
    def fim_rep(self):
        return self.use().get().vocab().special().fim_rep

    @property
    def fim_sep(self):
        return self.use().get().vocab().special().fim_sep

    @property
    def add_bos(self):
        return self.use().get().vocab().special().add_bos

    @property
    def add_eos(self):
        return self.use().get().vocab().special().add_eos

    @property
    def add_sep(self):
        return self.use().get().vocab().special().add_sep

    @property
    def eog_tokens(self):
        return _ids(self.use().get().vocab().eog_tokens())

    def is_eog(self, token):
        return self.use().get().vocab().is_eog(_int("token", token))

    def is_control(self, token):
        return self.use().get().vocab().is_control(_int("token", token))

    def token_score(self, token):
        return self.use().get().vocab().score(_int("token", token))

    def tokenize(self, text, *, add_special=True, parse_special=False):
        return self.tokenize_batch(
            (text,), add_special=add_special, parse_special=parse_special)[0]

    def tokenize_batch(self, texts, *, add_special=True, parse_special=False):
        cdef shared_ptr[NativeModel] native = self.use()
        cdef cbool add = add_special
        cdef cbool parse = parse_special
        cdef vector[string_view] views
        cdef vector[vector[int32_t]] tokens
        cdef size_t i
        cdef list encoded = [_utf8(text) for text in texts]  # keeps alive what the views show
        for data in encoded:
            views.push_back(_view(data))
        with nogil:
            tokens.resize(views.size())
            for i in range(views.size()):
                tokens[i] = native.get().vocab().tokenize(views[i], add, parse)
        return [_int32_array(tokens[i]) for i in range(tokens.size())]

    def detokenize(self, tokens, *, remove_special=False, render_special=False):
        cdef shared_ptr[NativeModel] native = self.use()
        cdef const int32_t[::1] ids = _int32s("tokens", tokens)
        cdef cbool remove = remove_special
        cdef cbool render = render_special
        cdef string text
        with nogil:
            text = native.get().vocab().detokenize(
                _data(ids), <size_t>ids.shape[0], remove, render)
        return <bytes>text

    def detokenize_batch(self, batch, *, remove_special=False, render_special=False):
        return [
            self.detokenize(tokens, remove_special=remove_special, render_special=render_special)
            for tokens in batch
        ]

    def piece(self, token, *, render_special=False):
        return <bytes>self.use().get().vocab().piece(_int("token", token), render_special)

    def chat_template(self, name=None):
        cdef optional[string] source = self.use().get().chat_template(_utf8(name or ""))
        return _text(source.value()) if source.has_value() else None

    def adapter(self, path):
        return Adapter._load(self, path)


cdef class Adapter:
    """A LoRA adapter of a model."""

    cdef shared_ptr[NativeAdapter] native

    def __init__(self):
        raise TypeError("use Model.adapter() to load an adapter")

    @staticmethod
    def _load(Model model, path):
        cdef Adapter adapter = Adapter.__new__(Adapter)
        cdef shared_ptr[NativeModel] native_model = model.use()
        cdef string native_path = _path(path)
        with nogil:
            adapter.native = NativeAdapter.load(native_model, native_path)
        return adapter

    cdef shared_ptr[NativeAdapter] use(self) except *:
        if self.native.get() == NULL:
            raise errors.NativeError("the adapter is closed")
        return self.native

    @property
    def metadata(self):
        return _metadata(self.use().get().metadata())

    @property
    def invocation_tokens(self):
        return _ids(self.use().get().invocation_tokens())

    def close(self):
        self.native.reset()

    def __dealloc__(self):
        self.native.reset()

    @property
    def closed(self):
        return self.native.get() == NULL
