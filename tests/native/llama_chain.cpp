// llama.cpp's own chain of samplers over all candidates, in the order of llama-server: what ours is
// compared with, by tests and by measurements.

#include "llama.h"

#include <cstdint>
#include <vector>

namespace {

struct Params {
    float temperature;
    int32_t top_k;
    float top_p;
    float min_p;
    float typical_p;
    float top_n_sigma;
    float xtc_probability;
    float xtc_threshold;
    int32_t mirostat;
    float mirostat_tau;
    float mirostat_eta;
    int32_t repeat_last_n;
    float repeat_penalty;
    float presence_penalty;
    float frequency_penalty;
    float dry_multiplier;
    float dry_base;
    int32_t dry_allowed_length;
    int32_t dry_penalty_last_n;
    int32_t min_keep;
    uint32_t seed;
};

struct Chain {
    llama_sampler * sampler;
    int32_t n_vocab;
    std::vector<llama_token_data> candidates;
};

} // namespace

extern "C" {

void * chain_new(const Params * p, int32_t n_vocab) {
    llama_sampler_chain_params params = llama_sampler_chain_default_params();
    params.no_perf = true;
    llama_sampler * chain = llama_sampler_chain_init(params);
    const auto add = [chain](llama_sampler * step) { llama_sampler_chain_add(chain, step); };
    const auto keep = static_cast<size_t>(p->min_keep);
    add(llama_sampler_init_penalties(n_vocab, p->repeat_last_n, p->repeat_penalty,
                                     p->frequency_penalty, p->presence_penalty));
    add(llama_sampler_init_dry(nullptr, p->dry_multiplier, p->dry_base, p->dry_allowed_length,
                               p->dry_penalty_last_n, nullptr, 0));
    if (p->mirostat == 1) {
        add(llama_sampler_init_temp(p->temperature));
        add(llama_sampler_init_mirostat(n_vocab, p->seed, p->mirostat_tau, p->mirostat_eta, 100));
    } else if (p->mirostat == 2) {
        add(llama_sampler_init_temp(p->temperature));
        add(llama_sampler_init_mirostat_v2(p->seed, p->mirostat_tau, p->mirostat_eta));
    } else {
        add(llama_sampler_init_top_n_sigma(p->top_n_sigma));
        add(llama_sampler_init_top_k(p->top_k));
        add(llama_sampler_init_typical(p->typical_p, keep));
        add(llama_sampler_init_top_p(p->top_p, keep));
        add(llama_sampler_init_min_p(p->min_p, keep));
        add(llama_sampler_init_xtc(p->xtc_probability, p->xtc_threshold, keep, p->seed));
        add(llama_sampler_init_temp(p->temperature));
        add(llama_sampler_init_dist(p->seed));
    }
    return new Chain{chain, n_vocab, {}};
}

void chain_free(void * handle) {
    auto * chain = static_cast<Chain *>(handle);
    llama_sampler_free(chain->sampler);
    delete chain;
}

void chain_accept(void * handle, int32_t token) {
    llama_sampler_accept(static_cast<Chain *>(handle)->sampler, token);
}

int32_t chain_sample(void * handle, const float * logits) {
    auto * chain = static_cast<Chain *>(handle);
    chain->candidates.resize(static_cast<size_t>(chain->n_vocab));
    for (int32_t token = 0; token < chain->n_vocab; ++token) {
        chain->candidates[static_cast<size_t>(token)] = {token, logits[token], 0.0f};
    }
    llama_token_data_array all{chain->candidates.data(), chain->candidates.size(), -1, false};
    llama_sampler_apply(chain->sampler, &all);
    const int32_t token = all.data[all.selected].id;
    llama_sampler_accept(chain->sampler, token);
    return token;
}
}
