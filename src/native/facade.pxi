# The C++ facade as Cython sees it. Everything may throw pyollama::Error, which raise_native() turns
# into a class of pyollama.errors; everything may run without the GIL.

cdef extern from "error.hpp" namespace "pyollama" nogil:
    cdef struct ErrorInfo:
        string code
        string message
    ErrorInfo current_error() noexcept


cdef int raise_native() except -1 with gil:
    cdef ErrorInfo info = current_error()
    raise errors.from_info(errors.ErrorInfo(
        info.code.decode("utf-8"), info.message.decode("utf-8", "replace")))


cdef extern from "<string_view>" namespace "std" nogil:
    cdef cppclass string_view:
        string_view()
        string_view(const char * data, size_t size)

cdef extern from "<atomic>" namespace "std" nogil:
    cdef cppclass atomic_bool "std::atomic<bool>":
        cbool load()
        void store(cbool value)
    cdef cppclass atomic_float "std::atomic<float>":
        float load()

cdef extern from "log.hpp" namespace "pyollama" nogil:
    cdef struct LogLine:
        int level
        string text
    vector[LogLine] native_drain_log "pyollama::drain_log"() except +raise_native
    void native_set_log_level "pyollama::set_log_level"(int level) except +raise_native

cdef extern from "device.hpp" namespace "pyollama" nogil:
    cdef struct NativeDevice "pyollama::Device":
        string name
        string description
        string kind
        uint64_t memory_free
        uint64_t memory_total
    void start_backends(const string & folder) except +raise_native
    vector[NativeDevice] native_devices "pyollama::devices"() except +raise_native
    string native_system_info "pyollama::system_info"() except +raise_native
    string native_llama_version "pyollama::llama_version"() except +raise_native
    cbool native_supports_gpu_offload "pyollama::supports_gpu_offload"() except +raise_native
    cbool native_supports_mmap "pyollama::supports_mmap"() except +raise_native
    cbool native_supports_mlock "pyollama::supports_mlock"() except +raise_native
    int native_max_devices "pyollama::max_devices"() except +raise_native
    int native_max_sequences "pyollama::max_sequences"() except +raise_native

cdef extern from "vocab.hpp" namespace "pyollama" nogil:
    cdef struct SpecialTokens:
        int32_t bos, eos, eot, sep, nl, pad, mask
        int32_t fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep
        cbool add_bos, add_eos, add_sep
    cdef cppclass Vocab:
        int32_t size()
        string type() except +raise_native
        const SpecialTokens & special()
        cbool is_eog(int32_t token) except +raise_native
        cbool is_control(int32_t token) except +raise_native
        float score(int32_t token) except +raise_native
        vector[int32_t] eog_tokens() except +raise_native
        vector[int32_t] tokenize(
            string_view text, cbool add_special, cbool parse_special) except +raise_native
        string detokenize(
            const int32_t * tokens, size_t count, cbool remove_special,
            cbool render_special) except +raise_native
        string piece(int32_t token, cbool render_special) except +raise_native

cdef extern from "model.hpp" namespace "pyollama" nogil:
    cdef cppclass NativeProgress "pyollama::LoadProgress":
        NativeProgress() except +raise_native
        atomic_float value
        atomic_bool cancelled
    cdef cppclass ModelParams:
        string path
        cbool vocab_only
        int use_mmap
        cbool use_mlock
        int32_t n_gpu_layers
        string split_mode
        int32_t main_gpu
        vector[float] tensor_split
        cbool choose_devices
        vector[string] devices
        cbool check_tensors
    cdef struct ModelFacts:
        string description
        string file_type
        string rope_type
        uint64_t n_params
        uint64_t size
        int32_t n_ctx_train, n_embd, n_embd_out, n_layer, n_head, n_head_kv, n_swa
        vector[string] class_labels
        float rope_freq_scale_train
        cbool has_encoder, has_decoder, is_recurrent, is_hybrid, is_diffusion
        int32_t decoder_start_token
    cdef cppclass NativeModel "pyollama::Model":
        @staticmethod
        shared_ptr[NativeModel] load(
            const ModelParams & params,
            const shared_ptr[NativeProgress] & progress) except +raise_native
        const string & path()
        cbool vocab_only()
        const Vocab & vocab()
        const ModelFacts & facts()
        cmap[string, string] metadata() except +raise_native
        optional[string] chat_template(const string & name) except +raise_native
    cdef cppclass NativeAdapter "pyollama::Adapter":
        @staticmethod
        shared_ptr[NativeAdapter] load(
            shared_ptr[NativeModel] model, const string & path) except +raise_native
        cmap[string, string] metadata() except +raise_native
        vector[int32_t] invocation_tokens() except +raise_native

cdef extern from "kernels.hpp" namespace "pyollama" nogil:
    cdef struct Kernels:
        const char * name
    const Kernels * const * available_kernels() except +raise_native
    const Kernels & native_kernels "pyollama::kernels"() except +raise_native
    cbool use_kernels(const char * name) except +raise_native

cdef extern from "sampler.hpp" namespace "pyollama" nogil:
    cdef cppclass SamplerParams:
        float temperature
        int32_t top_k
        float top_p
        float min_p
        float typical_p
        float top_n_sigma
        float xtc_probability
        float xtc_threshold
        float dry_multiplier
        float dry_base
        int32_t dry_allowed_length
        int32_t dry_penalty_last_n
        vector[string] dry_sequence_breakers
        int32_t mirostat
        float mirostat_tau
        float mirostat_eta
        int32_t repeat_last_n
        float repeat_penalty
        float presence_penalty
        float frequency_penalty
        vector[pair[int32_t, float]] logit_bias
        int64_t seed
        int32_t min_keep
        string grammar
        string grammar_root
        cbool grammar_lazy
        vector[string] grammar_trigger_patterns
        vector[int32_t] grammar_trigger_tokens
        string grammar_prefill
        int32_t n_ctx
    cdef cppclass NativeSampler "pyollama::Sampler":
        NativeSampler(shared_ptr[NativeModel] model, SamplerParams params) except +raise_native
        uint32_t seed()
        vector[string] chain() except +raise_native
        int32_t sample(float * logits, size_t count, const uint32_t * mask) except +raise_native
        void accept(const int32_t * tokens, size_t count, cbool grammar) except +raise_native
        void reset() except +raise_native
        shared_ptr[NativeSampler] clone() except +raise_native

cdef extern from "memory.hpp" namespace "pyollama" nogil:
    cdef struct MemoryFacts:
        cbool present
        cbool unified
        cbool recurrent
        cbool swa_full
        cbool can_shift

cdef extern from "context.hpp" namespace "pyollama" nogil:
    cdef cppclass ContextParams:
        uint32_t n_ctx
        uint32_t n_batch
        uint32_t n_ubatch
        uint32_t n_seq_max
        int32_t n_threads
        int32_t n_threads_batch
        cbool embeddings
        string pooling
        string attention
        int flash_attn
        string type_k
        string type_v
        cbool kv_unified
        cbool swa_full
        cbool offload_kqv
        cbool op_offload
        string rope_scaling
        float rope_freq_base
        float rope_freq_scale
        float yarn_ext_factor
        float yarn_attn_factor
        float yarn_beta_fast
        float yarn_beta_slow
        uint32_t yarn_orig_ctx
    cdef struct Batch:
        const int32_t * tokens
        const int32_t * positions
        const int32_t * seq_ids
        const int8_t * outputs
        size_t size
    cdef struct TokenLogprobs:
        float chosen
        vector[int32_t] top_ids
        vector[float] top_logprobs
    cdef struct MemoryUse:
        uint64_t model, context, compute
    cdef struct NativePerf "pyollama::Perf":
        double prompt_ms, eval_ms
        int32_t prompt_tokens, eval_tokens, graphs_reused
    cdef cppclass NativeContext "pyollama::Context":
        NativeContext(
            shared_ptr[NativeModel] model, const ContextParams & params) except +raise_native
        uint32_t n_ctx()
        uint32_t n_ctx_seq()
        uint32_t n_batch()
        uint32_t n_ubatch()
        uint32_t n_seq_max()
        int32_t n_threads()
        int32_t n_threads_batch()
        string pooling() except +raise_native
        cbool causal()
        size_t decode(const Batch & batch) except +raise_native
        size_t encode(const Batch & batch) except +raise_native
        size_t n_outputs()
        size_t logits_width()
        size_t mask_words()
        void copy_logits(const int32_t * rows, size_t count, float * out) except +raise_native
        size_t embedding_width()
        void copy_embeddings(const int32_t * rows, size_t count, float * out) except +raise_native
        vector[float] sequence_embedding(int32_t seq) except +raise_native
        void sample(
            const int32_t * rows, const vector[shared_ptr[NativeSampler]] & samplers,
            const uint32_t * masks, int32_t * out) except +raise_native
        size_t verify(
            const int32_t * rows, const int32_t * drafts, size_t n_drafts, NativeSampler & sampler,
            const uint32_t * masks, int32_t * out) except +raise_native
        TokenLogprobs logprobs(int32_t row, int32_t token, int32_t n_top) except +raise_native
        void token_logprobs(
            const int32_t * rows, const int32_t * tokens, size_t count,
            float * out) except +raise_native
        const MemoryFacts & memory_facts()
        cbool seq_rm(int32_t seq, int32_t p0, int32_t p1) except +raise_native
        void seq_cp(int32_t src, int32_t dst, int32_t p0, int32_t p1) except +raise_native
        void seq_keep(int32_t seq) except +raise_native
        void seq_add(int32_t seq, int32_t p0, int32_t p1, int32_t delta) except +raise_native
        void seq_div(int32_t seq, int32_t p0, int32_t p1, int32_t divisor) except +raise_native
        int32_t seq_pos_min(int32_t seq) except +raise_native
        int32_t seq_pos_max(int32_t seq) except +raise_native
        void clear(cbool data) except +raise_native
        size_t state_size(int32_t seq, size_t token_count) except +raise_native
        void save_state(
            int32_t seq, const int32_t * tokens, size_t token_count, uint8_t * out,
            size_t size) except +raise_native
        vector[int32_t] restore_state(
            int32_t seq, const uint8_t * data, size_t size) except +raise_native
        void set_threads(int32_t n_threads, int32_t n_threads_batch) except +raise_native
        void set_causal(cbool causal) except +raise_native
        void set_embeddings(cbool embeddings) except +raise_native
        void set_adapters(
            vector[shared_ptr[NativeAdapter]] adapters,
            vector[float] scales) except +raise_native
        void synchronize() except +raise_native
        void abort()
        void clear_abort()
        cmap[string, MemoryUse] memory_breakdown() except +raise_native
        NativePerf perf() except +raise_native
        void reset_perf() except +raise_native

cdef extern from "chat.hpp" namespace "pyollama" nogil:
    cdef cppclass NativeRenderedChat "pyollama::RenderedChat":
        string prompt
        string grammar
        cbool grammar_lazy
        vector[string] grammar_trigger_patterns
        vector[int32_t] grammar_trigger_tokens
        string grammar_prefill
        vector[int32_t] preserved_tokens
        vector[string] stops
        string format
        string thinking_start
        vector[string] thinking_ends
        string parse(const string & text, cbool partial) except +raise_native
    cdef cppclass NativeDetachedTemplate "pyollama::DetachedTemplate":
        NativeDetachedTemplate(
            const string & source, const string & bos, const string & eos) except +raise_native
        string render(const string & request) except +raise_native
    shared_ptr[NativeRenderedChat] native_read_rendered "pyollama::read_rendered"(
        const NativeModel & model, const string & rendered) except +raise_native
    cdef cppclass NativeChatTemplate "pyollama::ChatTemplate":
        NativeChatTemplate(
            shared_ptr[NativeModel] model, const string & source) except +raise_native
        string source() except +raise_native
        cmap[string, cbool] capabilities() except +raise_native
        shared_ptr[NativeRenderedChat] apply(const string & request) except +raise_native

cdef extern from "grammar.hpp" namespace "pyollama" nogil:
    void native_check_grammar "pyollama::check_grammar"(
        const string & text, const string & root) except +raise_native
    string native_json_schema_to_grammar "pyollama::json_schema_to_grammar"(
        const string & schema) except +raise_native

cdef extern from "quantize.hpp" namespace "pyollama" nogil:
    cdef cppclass QuantizeParams:
        string type
        int32_t n_threads
        cbool allow_requantize
        cbool quantize_output
        cbool pure
        string output_type
        string embedding_type
    void native_quantize "pyollama::quantize"(
        const string & source, const string & target,
        const QuantizeParams & params) except +raise_native
    vector[string] native_quantization_types "pyollama::quantization_types"() except +raise_native
