#include "context_params.hpp"

#include "error.hpp"

#include "common.h"
#include "llama.h"

#include <algorithm>
#include <array>
#include <map>

namespace pyollama {

namespace {

// The cache grows in steps of this many cells anyway; rounded here, because llama.cpp compares the
// batch size with the unrounded value.
constexpr uint32_t cell_step = 256;
constexpr uint32_t max_n_ctx = 1u << 30;

enum llama_pooling_type pooling_type(const std::string & name) {
    static const std::map<std::string, enum llama_pooling_type> types = {
        {"", LLAMA_POOLING_TYPE_UNSPECIFIED}, {"none", LLAMA_POOLING_TYPE_NONE},
        {"mean", LLAMA_POOLING_TYPE_MEAN},    {"cls", LLAMA_POOLING_TYPE_CLS},
        {"last", LLAMA_POOLING_TYPE_LAST},    {"rank", LLAMA_POOLING_TYPE_RANK},
    };
    const auto found = types.find(name);
    if (found == types.end()) {
        throw Error(Code::invalid_request,
                    "pooling '" + name + "' is none of none, mean, cls, last, rank");
    }
    return found->second;
}

llama_attention_type attention_type(const std::string & name) {
    if (name.empty()) {
        return LLAMA_ATTENTION_TYPE_UNSPECIFIED;
    }
    if (name == "causal") {
        return LLAMA_ATTENTION_TYPE_CAUSAL;
    }
    if (name == "non-causal") {
        return LLAMA_ATTENTION_TYPE_NON_CAUSAL;
    }
    throw Error(Code::invalid_request, "attention '" + name + "' is neither causal nor non-causal");
}

llama_rope_scaling_type rope_scaling_type(const std::string & name) {
    static const std::map<std::string, llama_rope_scaling_type> types = {
        {"", LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED},      {"none", LLAMA_ROPE_SCALING_TYPE_NONE},
        {"linear", LLAMA_ROPE_SCALING_TYPE_LINEAR},     {"yarn", LLAMA_ROPE_SCALING_TYPE_YARN},
        {"longrope", LLAMA_ROPE_SCALING_TYPE_LONGROPE},
    };
    const auto found = types.find(name);
    if (found == types.end()) {
        throw Error(Code::invalid_request,
                    "rope_scaling '" + name + "' is none of none, linear, yarn, longrope");
    }
    return found->second;
}

ggml_type cache_type(const char * field, const std::string & name) {
    constexpr std::array types = {
        GGML_TYPE_F32,  GGML_TYPE_F16,    GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
        GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
    };
    std::string known;
    for (const ggml_type type : types) {
        if (name == ggml_type_name(type)) {
            return type;
        }
        known += std::string(known.empty() ? "" : ", ") + ggml_type_name(type);
    }
    throw Error(Code::invalid_request, std::string(field) + " '" + name + "' is none of " + known);
}

// A block of a quantised type must not reach over the end of a head: ggml asserts it.
void check_head_fits(const Model & model, const char * field, ggml_type type,
                     const char * length_key) {
    const std::string arch = model.metadata_value("general.architecture").value_or("");
    const auto length = model.metadata_value(arch + length_key);
    const ModelFacts & facts = model.facts();
    const int64_t head = length ? std::strtoll(length->c_str(), nullptr, 10)
                                : facts.n_embd / std::max(facts.n_head, 1);
    if (head % ggml_blck_size(type) != 0) {
        throw Error(Code::invalid_request, std::string(field) + " " + ggml_type_name(type) +
                                               " does not fit heads of " + std::to_string(head) +
                                               " values");
    }
}

void check_params(const Model & model, const ContextParams & params) {
    if (model.vocab_only() || model.facts().n_embd == 0) {
        throw Error(Code::invalid_request, "a model loaded with vocab_only cannot be run");
    }
    if (params.n_ctx > max_n_ctx) {
        throw Error(Code::invalid_request, "n_ctx must not be above 2**30");
    }
    if (params.n_seq_max < 1 || params.n_seq_max > llama_max_parallel_sequences()) {
        throw Error(Code::invalid_request,
                    "n_seq_max must be 1 to " + std::to_string(llama_max_parallel_sequences()));
    }
    if (params.n_ubatch < 1 || params.n_batch < params.n_seq_max) {
        throw Error(Code::invalid_request,
                    "n_ubatch must be at least 1, and n_batch at least n_seq_max");
    }
    if (params.n_batch > max_n_ctx || params.n_ubatch > max_n_ctx) {
        throw Error(Code::invalid_request, "n_batch and n_ubatch must not be above 2**30");
    }
    if (params.n_threads < 0 || params.n_threads_batch < 0 ||
        std::max(params.n_threads, params.n_threads_batch) > GGML_MAX_N_THREADS) {
        throw Error(Code::invalid_request,
                    "thread counts must be 0 to " + std::to_string(GGML_MAX_N_THREADS));
    }
}

uint32_t rounded_n_ctx(const Model & model, uint32_t n_ctx) {
    if (n_ctx == 0) {
        n_ctx = static_cast<uint32_t>(std::max(1, model.facts().n_ctx_train));
    }
    return (n_ctx + cell_step - 1) / cell_step * cell_step;
}

} // namespace

llama_context_params native_params(const Model & model, const ContextParams & params) {
    check_params(model, params);
    llama_context_params native = llama_context_default_params();
    native.n_ctx = rounded_n_ctx(model, params.n_ctx);
    native.n_batch = params.n_batch;
    native.n_ubatch = params.n_ubatch;
    native.n_seq_max = params.n_seq_max;
    native.n_threads =
        params.n_threads > 0 ? params.n_threads : std::max(1, common_cpu_get_num_math());
    native.n_threads_batch = params.n_threads_batch > 0 ? params.n_threads_batch : native.n_threads;
    native.embeddings = params.embeddings;
    native.pooling_type = pooling_type(params.pooling);
    native.attention_type = attention_type(params.attention);
    native.flash_attn_type = static_cast<llama_flash_attn_type>(params.flash_attn);
    native.type_k = cache_type("type_k", params.type_k);
    native.type_v = cache_type("type_v", params.type_v);
    native.kv_unified = params.kv_unified;
    native.swa_full = params.swa_full;
    native.offload_kqv = params.offload_kqv;
    native.op_offload = params.op_offload;
    native.rope_scaling_type = rope_scaling_type(params.rope_scaling);
    native.rope_freq_base = params.rope_freq_base;
    native.rope_freq_scale = params.rope_freq_scale;
    native.yarn_ext_factor = params.yarn_ext_factor;
    native.yarn_attn_factor = params.yarn_attn_factor;
    native.yarn_beta_fast = params.yarn_beta_fast;
    native.yarn_beta_slow = params.yarn_beta_slow;
    native.yarn_orig_ctx = params.yarn_orig_ctx;
    native.no_perf = false;
    if (ggml_is_quantized(native.type_k)) {
        check_head_fits(model, "type_k", native.type_k, ".attention.key_length");
    }
    if (ggml_is_quantized(native.type_v)) {
        check_head_fits(model, "type_v", native.type_v, ".attention.value_length");
    }
    return native;
}

} // namespace pyollama
