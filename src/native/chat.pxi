cdef class ChatTemplate:
    """A Jinja chat template of a model."""

    cdef shared_ptr[NativeChatTemplate] native

    def __init__(self, Model model not None, source=None):
        cdef shared_ptr[NativeModel] native_model = model.use()
        cdef string text = _utf8(source or "")
        with nogil:
            self.native.reset(new NativeChatTemplate(native_model, text))

    cdef shared_ptr[NativeChatTemplate] use(self) except *:
        if self.native.get() == NULL:
            raise errors.NativeError("the chat template is closed")
        return self.native

    @property
    def source(self):
        return _text(self.use().get().source())

    @property
    def capabilities(self):
        cdef cmap[string, cbool] found = self.use().get().capabilities()
        return {_text(item.first): bool(item.second) for item in found}

    def apply(self, request):
        cdef RenderedChat rendered = RenderedChat.__new__(RenderedChat)
        cdef shared_ptr[NativeChatTemplate] native = self.use()
        cdef string text = _utf8(request)
        with nogil:
            rendered.native = native.get().apply(text)
        return rendered

    def close(self):
        self.native.reset()

    def __dealloc__(self):
        self.native.reset()

    @property
    def closed(self):
        return self.native.get() == NULL


cdef class DetachedTemplate:
    """A Jinja chat template without a model."""

    cdef shared_ptr[NativeDetachedTemplate] native

    def __init__(self, source=None, *, bos="", eos=""):
        cdef string text = _utf8(source or "")
        cdef string first = _utf8(bos)
        cdef string last = _utf8(eos)
        with nogil:
            self.native.reset(new NativeDetachedTemplate(text, first, last))

    def render(self, request):
        cdef shared_ptr[NativeDetachedTemplate] native = self.native
        cdef string text = _utf8(request)
        with nogil:
            text = native.get().render(text)
        return _text(text)


def read_rendered(Model model not None, rendered):
    cdef RenderedChat chat = RenderedChat.__new__(RenderedChat)
    cdef shared_ptr[NativeModel] native = model.use()
    cdef string text = _utf8(rendered)
    with nogil:
        chat.native = native_read_rendered(native.get()[0], text)
    return chat


cdef class RenderedChat:
    """A rendered prompt, and how to read the answer to it."""

    cdef shared_ptr[NativeRenderedChat] native

    def __init__(self):
        raise TypeError("use ChatTemplate.apply() to render a chat")

    cdef shared_ptr[NativeRenderedChat] use(self) except *:
        if self.native.get() == NULL:
            raise errors.NativeError("the chat was not rendered")
        return self.native

    @property
    def prompt(self):
        return _text(self.use().get().prompt)

    @property
    def grammar(self):
        return _text(self.use().get().grammar)

    @property
    def grammar_lazy(self):
        return self.use().get().grammar_lazy

    @property
    def grammar_trigger_patterns(self):
        return _texts(self.use().get().grammar_trigger_patterns)

    @property
    def grammar_trigger_tokens(self):
        return _ids(self.use().get().grammar_trigger_tokens)

    @property
    def grammar_prefill(self):
        return _text(self.use().get().grammar_prefill)

    @property
    def preserved_tokens(self):
        return _ids(self.use().get().preserved_tokens)

    @property
    def stops(self):
        return _texts(self.use().get().stops)

    @property
    def format(self):
        return _text(self.use().get().format)

    @property
    def thinking_start(self):
        return _text(self.use().get().thinking_start)

    @property
    def thinking_ends(self):
        return _texts(self.use().get().thinking_ends)

    def parse(self, text, *, partial):
        cdef shared_ptr[NativeRenderedChat] native = self.use()
        cdef string answer = _utf8(text)
        cdef cbool is_partial = partial
        with nogil:
            answer = native.get().parse(answer, is_partial)
        return _text(answer)
