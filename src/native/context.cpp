#include "context.hpp"

#include "exclusive.hpp"
#include "sampler.hpp"

#include "llama.h"

// Not part of llama.cpp's stable interface, so the memory breakdown can go missing.
#if __has_include("../src/llama-ext.h")
#include "../src/llama-ext.h"
#define PYOLLAMA_MEMORY_BREAKDOWN
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace pyollama {

namespace {

llama_context * make_context(const Model & model, const ContextParams & params,
                             std::atomic<bool> & aborted) {
    llama_context_params native = native_params(model, params);
    native.abort_callback = [](void * flag) {
        return static_cast<std::atomic<bool> *>(flag)->load(std::memory_order_relaxed);
    };
    native.abort_callback_data = &aborted;
    const AssertionsThrow guard;
    const NativeCall call;
    llama_context * context = llama_init_from_model(model.raw(), native);
    if (context == nullptr) {
        throw call.failed(Code::native_error, "cannot make a context");
    }
    return context;
}

MemoryFacts facts_of(const Model & model, const ContextParams & params, llama_context * context) {
    MemoryFacts facts{};
    llama_memory_t memory = llama_get_memory(context);
    facts.present = memory != nullptr;
    facts.unified = params.kv_unified;
    facts.recurrent = model.facts().is_recurrent || model.facts().is_hybrid;
    facts.swa_full = params.swa_full || model.facts().n_swa == 0;
    facts.can_shift = llama_memory_can_shift(memory);
    return facts;
}

} // namespace

void Context::Free::operator()(llama_context * context) const {
    llama_free(context);
}

Context::Context(std::shared_ptr<Model> model, const ContextParams & params)
    : model_(std::move(model)), context_(make_context(*model_, params, aborted_)),
      memory_(context_.get(), facts_of(*model_, params, context_.get())),
      embeddings_(params.embeddings) {}

Context::~Context() = default;

// --- facts --------------------------------------------------------------------------------------

uint32_t Context::n_ctx() const {
    return llama_n_ctx(context_.get());
}

uint32_t Context::n_ctx_seq() const {
    return llama_n_ctx_seq(context_.get());
}

uint32_t Context::n_batch() const {
    return llama_n_batch(context_.get());
}

uint32_t Context::n_ubatch() const {
    return llama_n_ubatch(context_.get());
}

uint32_t Context::n_seq_max() const {
    return llama_n_seq_max(context_.get());
}

int32_t Context::n_threads() const {
    return llama_n_threads(context_.get());
}

int32_t Context::n_threads_batch() const {
    return llama_n_threads_batch(context_.get());
}

std::string Context::pooling() const {
    switch (llama_pooling_type(context_.get())) {
    case LLAMA_POOLING_TYPE_MEAN:
        return "mean";
    case LLAMA_POOLING_TYPE_CLS:
        return "cls";
    case LLAMA_POOLING_TYPE_LAST:
        return "last";
    case LLAMA_POOLING_TYPE_RANK:
        return "rank";
    default:
        return "none";
    }
}

bool Context::causal() const {
    return llama_get_causal_attn(context_.get());
}

// --- batches ------------------------------------------------------------------------------------

size_t Context::decode(const Batch & batch) {
    const Exclusive hold(busy_, "the context");
    const ModelFacts & facts = model_->facts();
    if (facts.has_encoder && !facts.has_decoder) {
        throw Error(Code::invalid_request, "this model has no decoder; use encode()");
    }
    if (facts.has_encoder && !encoded_) {
        throw Error(Code::invalid_request, "the decoder needs the output of encode() first");
    }
    return run(batch, false);
}

size_t Context::encode(const Batch & batch) {
    const Exclusive hold(busy_, "the context");
    if (memory_.facts().present && !model_->facts().has_encoder) {
        throw Error(Code::invalid_request, "this model has no encoder; use decode()");
    }
    const size_t rows = run(batch, true);
    encoded_ = true;
    return rows;
}

size_t Context::run(const Batch & batch, bool encode) {
    n_outputs_ = 0;
    has_logits_ = !encode && (memory_.facts().present || model_->facts().is_diffusion);
    check_batch(batch, encode);
    fill_native_batch(batch, encode);
    llama_batch native{};
    native.n_tokens = static_cast<int32_t>(batch.size);
    // llama.cpp takes pointers to non-const and reads only
    native.token = const_cast<int32_t *>(batch.tokens);
    native.pos = const_cast<int32_t *>(batch.positions);
    native.n_seq_id = seq_counts_.data();
    native.seq_id = seq_pointers_.data();
    native.logits = outputs_.data();

    const NativeCall call;
    const int32_t status =
        encode ? llama_encode(context_.get(), native) : llama_decode(context_.get(), native);
    memory_.batch_done();
    if (status == 0) {
        n_outputs_ = static_cast<size_t>(std::count_if(
            outputs_.begin(), outputs_.begin() + native.n_tokens, [](int8_t on) { return on; }));
        return n_outputs_;
    }
    if (status == 2 || aborted_) {
        throw Error(Code::aborted, "the computation was aborted");
    }
    if (status == 1) {
        throw Error(Code::out_of_cells, "no room in the KV cache for a batch of " +
                                            std::to_string(batch.size) + " tokens");
    }
    throw call.failed(Code::native_error, "the batch failed with status " + std::to_string(status));
}

// Everything in a batch that llama.cpp would answer with an assertion, or with a mere -1.
void Context::check_batch(const Batch & batch, bool encode) {
    if (aborted_) {
        throw Error(Code::aborted, "the context was aborted; clear_abort() first");
    }
    if (batch.size == 0) {
        throw Error(Code::invalid_request, "the batch is empty");
    }
    if (batch.size > n_batch()) {
        throw Error(Code::invalid_request, "the batch has " + std::to_string(batch.size) +
                                               " tokens, n_batch is " + std::to_string(n_batch()));
    }
    const bool at_once = encode || !memory_.facts().present || !causal();
    if (at_once && batch.size > n_ubatch()) {
        throw Error(Code::invalid_request,
                    "without causal attention a batch must fit n_ubatch: it has " +
                        std::to_string(batch.size) + " tokens, n_ubatch is " +
                        std::to_string(n_ubatch()));
    }
    for (size_t i = 0; i < batch.size; ++i) {
        model_->vocab().check(batch.tokens[i]);
        memory_.check(batch.seq_ids[i]);
        if (batch.positions[i] < 0) {
            throw Error(Code::invalid_request,
                        "position " + std::to_string(batch.positions[i]) + " is negative");
        }
    }
    if (memory_.facts().present) {
        check_positions(batch);
    }
}

// The positions of a sequence go on where its cells end, without a gap.
void Context::check_positions(const Batch & batch) {
    constexpr int32_t unknown = -2;
    next_positions_.assign(n_seq_max(), unknown);
    const bool may_jump = !memory_.facts().can_shift; // several positions per token: M-RoPE
    for (size_t i = 0; i < batch.size; ++i) {
        const int32_t seq = batch.seq_ids[i];
        const int32_t position = batch.positions[i];
        int32_t & next = next_positions_[static_cast<size_t>(seq)];
        if (next == unknown) {
            const int32_t last = memory_.last(seq);
            next = last < 0 ? position : last + 1;
        }
        if (may_jump ? position < next : position != next) {
            throw Error(Code::invalid_request, "sequence " + std::to_string(seq) +
                                                   " has position " + std::to_string(position) +
                                                   " where " + std::to_string(next) + " is next");
        }
        next = position + 1;
    }
}

void Context::fill_native_batch(const Batch & batch, bool encode) {
    const size_t size = batch.size;
    if (seq_counts_.size() < size) {
        seq_counts_.assign(size, 1);
    }
    seq_pointers_.resize(size);
    for (size_t i = 0; i < size; ++i) {
        seq_pointers_[i] = const_cast<int32_t *>(batch.seq_ids + i);
    }
    outputs_.assign(batch.outputs, batch.outputs + size);
    if (encode || embeddings_ || !memory_.facts().present) {
        std::fill(outputs_.begin(), outputs_.end(), int8_t{1}); // llama.cpp computes them all then
    }
}

// --- outputs ------------------------------------------------------------------------------------

float * Context::logits() {
    float * data = has_logits_ && n_outputs_ > 0 ? llama_get_logits(context_.get()) : nullptr;
    if (data == nullptr) {
        throw Error(Code::invalid_request,
                    "there are no logits: they need a batch with outputs, and a decoder");
    }
    return data;
}

const float * Context::row_of(const float * data, size_t width, int32_t row) const {
    if (row < 0 || static_cast<size_t>(row) >= n_outputs_) {
        throw Error(Code::invalid_request, "row " + std::to_string(row) +
                                               " does not exist: the last batch has " +
                                               std::to_string(n_outputs_) + " output rows");
    }
    return data + static_cast<size_t>(row) * width;
}

size_t Context::logits_width() const {
    return static_cast<size_t>(model_->vocab().size());
}

void Context::copy_logits(const int32_t * rows, size_t count, float * out) {
    const Exclusive hold(busy_, "the context");
    if (count == 0) {
        return;
    }
    const float * data = logits();
    const size_t width = logits_width();
    for (size_t i = 0; i < count; ++i) {
        std::memcpy(out + i * width, row_of(data, width, rows[i]), width * sizeof(float));
    }
}

size_t Context::embedding_width() const {
    return static_cast<size_t>(model_->facts().n_embd_out);
}

void Context::copy_embeddings(const int32_t * rows, size_t count, float * out) {
    const Exclusive hold(busy_, "the context");
    if (count == 0) {
        return;
    }
    const float * data = nullptr;
    if (embeddings_ && llama_pooling_type(context_.get()) == LLAMA_POOLING_TYPE_NONE) {
        data = llama_get_embeddings(context_.get());
    }
    if (data == nullptr) {
        throw Error(Code::invalid_request,
                    "there are no token embeddings; they need embeddings=True, pooling 'none' and "
                    "a batch");
    }
    const size_t width = embedding_width();
    for (size_t i = 0; i < count; ++i) {
        std::memcpy(out + i * width, row_of(data, width, rows[i]), width * sizeof(float));
    }
}

std::vector<float> Context::sequence_embedding(int32_t seq) {
    const Exclusive hold(busy_, "the context");
    memory_.check(seq);
    const float * data = nullptr;
    if (embeddings_ && n_outputs_ > 0) {
        llama_synchronize(context_.get());
        data = llama_get_embeddings_seq(context_.get(), seq);
    }
    if (data == nullptr) {
        throw Error(Code::invalid_request,
                    "there is no embedding of sequence " + std::to_string(seq) +
                        "; it needs embeddings=True, pooling and a batch with the sequence");
    }
    const bool rank = llama_pooling_type(context_.get()) == LLAMA_POOLING_TYPE_RANK;
    const size_t width = rank ? model_->facts().class_labels.size() : embedding_width();
    return std::vector<float>(data, data + width);
}

// --- sequences ----------------------------------------------------------------------------------

bool Context::seq_rm(int32_t seq, int32_t p0, int32_t p1) {
    const Exclusive hold(busy_, "the context");
    return memory_.remove(seq, p0, p1);
}

void Context::seq_cp(int32_t from, int32_t to, int32_t p0, int32_t p1) {
    const Exclusive hold(busy_, "the context");
    memory_.copy(from, to, p0, p1);
}

void Context::seq_keep(int32_t seq) {
    const Exclusive hold(busy_, "the context");
    memory_.keep(seq);
}

void Context::seq_add(int32_t seq, int32_t p0, int32_t p1, int32_t delta) {
    const Exclusive hold(busy_, "the context");
    memory_.shift(seq, p0, p1, delta);
}

void Context::seq_div(int32_t seq, int32_t p0, int32_t p1, int32_t divisor) {
    const Exclusive hold(busy_, "the context");
    memory_.divide(seq, p0, p1, divisor);
}

int32_t Context::seq_pos_min(int32_t seq) {
    const Exclusive hold(busy_, "the context");
    return memory_.first(seq);
}

int32_t Context::seq_pos_max(int32_t seq) {
    const Exclusive hold(busy_, "the context");
    return memory_.last(seq);
}

void Context::clear(bool data) {
    const Exclusive hold(busy_, "the context");
    memory_.clear(data);
}

size_t Context::state_size(int32_t seq, size_t token_count) {
    const Exclusive hold(busy_, "the context");
    return memory_.state_size(seq, token_count);
}

void Context::save_state(int32_t seq, const int32_t * tokens, size_t token_count, uint8_t * out,
                         size_t size) {
    const Exclusive hold(busy_, "the context");
    memory_.save(seq, tokens, token_count, out, size);
}

std::vector<int32_t> Context::restore_state(int32_t seq, const uint8_t * data, size_t size) {
    const Exclusive hold(busy_, "the context");
    return memory_.restore(seq, data, size);
}

// --- control ------------------------------------------------------------------------------------

void Context::set_threads(int32_t n_threads, int32_t n_threads_batch) {
    const Exclusive hold(busy_, "the context");
    if (n_threads < 1 || n_threads_batch < 1 ||
        std::max(n_threads, n_threads_batch) > GGML_MAX_N_THREADS) {
        throw Error(Code::invalid_request,
                    "thread counts must be 1 to " + std::to_string(GGML_MAX_N_THREADS));
    }
    llama_set_n_threads(context_.get(), n_threads, n_threads_batch);
}

void Context::set_causal(bool causal) {
    const Exclusive hold(busy_, "the context");
    llama_set_causal_attn(context_.get(), causal);
}

void Context::set_embeddings(bool embeddings) {
    const Exclusive hold(busy_, "the context");
    llama_set_embeddings(context_.get(), embeddings);
    embeddings_ = embeddings;
    n_outputs_ = 0;
}

void Context::set_adapters(std::vector<std::shared_ptr<Adapter>> adapters,
                           std::vector<float> scales) {
    const Exclusive hold(busy_, "the context");
    std::vector<llama_adapter_lora *> native;
    for (size_t i = 0; i < adapters.size(); ++i) {
        if (&adapters[i]->model() != model_.get()) {
            throw Error(Code::invalid_request, "an adapter was loaded for another model");
        }
        if (!std::isfinite(scales[i])) {
            throw Error(Code::invalid_request, "the scale of an adapter is not finite");
        }
        native.push_back(adapters[i]->raw());
    }
    llama_set_adapters_lora(context_.get(), native.data(), native.size(), scales.data());
    adapters_ = std::move(adapters);
}

void Context::synchronize() {
    const Exclusive hold(busy_, "the context");
    llama_synchronize(context_.get());
}

std::map<std::string, MemoryUse> Context::memory_breakdown() {
    const Exclusive hold(busy_, "the context");
    std::map<std::string, MemoryUse> out;
#ifdef PYOLLAMA_MEMORY_BREAKDOWN
    for (const auto & [type, use] : llama_get_memory_breakdown(context_.get())) {
        MemoryUse & sum = out[ggml_backend_buft_name(type)];
        sum.model += use.model;
        sum.context += use.context;
        sum.compute += use.compute;
    }
#endif
    return out;
}

Perf Context::perf() const {
    const llama_perf_context_data data = llama_perf_context(context_.get());
    return {data.t_p_eval_ms, data.t_eval_ms, data.n_p_eval, data.n_eval, data.n_reused};
}

void Context::reset_perf() {
    const Exclusive hold(busy_, "the context");
    llama_perf_context_reset(context_.get());
}

} // namespace pyollama
