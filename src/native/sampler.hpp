// How the next token is chosen out of one row of logits.
#pragma once

#include "model.hpp"
#include "penalties.hpp"

#include "llama.h"

#include <atomic>
#include <cstdint>
#include <memory>
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

// The `count` largest values, largest first, the smaller id first among equals. Throws where a
// value is not a number, or where nothing is above minus infinity.
std::vector<int32_t> highest_tokens(const float * values, size_t size, size_t count);

// The order is llama-server's: bias, penalties, DRY, top-n-sigma, top-k, typical, top-p, min-p,
// XTC, temperature, draw. The grammar is asked about the drawn token alone, and only if it says no
// are all tokens put to it and another one drawn.
class Sampler {
  public:
    Sampler(std::shared_ptr<Model> model, SamplerParams params);
    std::shared_ptr<Sampler> clone();

    const std::shared_ptr<Model> & model() const { return model_; }
    uint32_t seed() const { return seed_; }
    std::vector<std::string> chain() const;

    // `logits` is changed and put back. Where there is a mask, only tokens whose bit is set in it
    // are chosen; the lowest bit of a word comes first.
    int32_t sample(float * logits, const uint32_t * mask = nullptr);
    void accept(const int32_t * tokens, size_t count, bool grammar);
    void reset();

  private:
    struct Free {
        void operator()(llama_sampler * sampler) const { llama_sampler_free(sampler); }
    };
    using Native = std::unique_ptr<llama_sampler, Free>;

    Sampler(const Sampler & other);

    void make_chains();
    void make_grammar();
    void prefill_grammar();
    int32_t choose(float * logits, const uint32_t * mask, bool constrained);
    int32_t draw(llama_token_data_array & candidates);
    void gather_all(const float * logits, const uint32_t * mask);
    void gather_highest(const float * logits);
    void drop_impossible();
    bool grammar_allows(llama_sampler * grammar, int32_t token) const;
    void accept_in(llama_sampler * grammar, int32_t token) const;
    void accept_in_chains(int32_t token);

    std::shared_ptr<Model> model_;
    SamplerParams params_;
    uint32_t seed_;
    bool greedy_;
    std::vector<std::pair<int32_t, float>> bias_; // the caller's, and what the model suppresses
    Penalties penalties_;
    Native head_; // steps that need all candidates: DRY, top-n-sigma
    Native tail_; // steps after top-k, ending with the draw
    Native grammar_;
    std::atomic<bool> busy_{false};

    // reused by every call
    std::vector<llama_token_data> candidates_;
    std::vector<std::pair<int32_t, float>> undo_;
};

} // namespace pyollama
