// What a sampler is asked to do.
#pragma once

#include "vocab.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pyollama {

struct SamplerParams {
    float temperature = 0.8f;
    int32_t top_k = 40;
    float top_p = 0.9f;
    float min_p = 0.0f;
    float typical_p = 1.0f;
    float top_n_sigma = -1.0f;
    float xtc_probability = 0.0f;
    float xtc_threshold = 0.1f;
    float dry_multiplier = 0.0f;
    float dry_base = 1.75f;
    int32_t dry_allowed_length = 2;
    int32_t dry_penalty_last_n = -1;
    std::vector<std::string> dry_sequence_breakers;
    int32_t mirostat = 0;
    float mirostat_tau = 5.0f;
    float mirostat_eta = 0.1f;
    int32_t repeat_last_n = 64;
    float repeat_penalty = 1.0f;
    float presence_penalty = 0.0f;
    float frequency_penalty = 0.0f;
    std::vector<std::pair<int32_t, float>> logit_bias;
    int64_t seed = -1; // below 0: a random one
    int32_t min_keep = 0;
    std::string grammar; // empty: none
    std::string grammar_root = "root";
    bool grammar_lazy = false;
    std::vector<std::string> grammar_trigger_patterns;
    std::vector<int32_t> grammar_trigger_tokens;
    std::string grammar_prefill;
    int32_t n_ctx = 0; // what -1 means for the two last_n; 0: the trained length
};

// Throws invalid_request, naming the field.
void check_params(const Vocab & vocab, const SamplerParams & params);

} // namespace pyollama
