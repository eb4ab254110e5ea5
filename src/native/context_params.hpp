// How a context is made: our parameters, checked and turned into llama.cpp's.
#pragma once

#include "model.hpp"

#include <cstdint>
#include <string>

struct llama_context_params;

namespace pyollama {

struct ContextParams {
    uint32_t n_ctx = 0;
    uint32_t n_batch = 2048;
    uint32_t n_ubatch = 512;
    uint32_t n_seq_max = 1;
    int32_t n_threads = 0; // 0: the physical cores
    int32_t n_threads_batch = 0;
    bool embeddings = false;
    std::string pooling;   // empty: the model's
    std::string attention; // empty: the model's
    int flash_attn = -1;   // -1: llama.cpp decides
    std::string type_k = "f16";
    std::string type_v = "f16";
    bool kv_unified = true;
    bool swa_full = true;
    bool offload_kqv = true;
    bool op_offload = true;
    std::string rope_scaling; // empty: the model's
    float rope_freq_base = 0.0f;
    float rope_freq_scale = 0.0f;
    float yarn_ext_factor = -1.0f; // below 0: the model's
    float yarn_attn_factor = -1.0f;
    float yarn_beta_fast = -1.0f;
    float yarn_beta_slow = -1.0f;
    uint32_t yarn_orig_ctx = 0;
};

// Throws where the parameters are wrong, or do not suit the model.
llama_context_params native_params(const Model & model, const ContextParams & params);

} // namespace pyollama
