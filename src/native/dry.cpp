#include "dry.hpp"

namespace pyollama {

Dry::Dry(const Vocab & vocab, const SamplerParams & params, int32_t last_n) {
    if (params.dry_multiplier == 0.0f || params.dry_base < 1.0f || last_n <= 0) {
        return;
    }
    std::vector<const char *> breakers = c_strings(params.dry_sequence_breakers);
    native_.reset(llama_sampler_init_dry(vocab.raw(), params.dry_multiplier, params.dry_base,
                                         params.dry_allowed_length, last_n, breakers.data(),
                                         breakers.size()));
    occurred_.resize(static_cast<size_t>(vocab.size()));
}

Dry::Dry(const Dry & other)
    : native_(other.active() ? llama_sampler_clone(other.native_.get()) : nullptr),
      tokens_(other.tokens_), occurred_(other.occurred_) {}

void Dry::accept(int32_t token) {
    if (!active()) {
        return;
    }
    llama_sampler_accept(native_.get(), token);
    if (!occurred_[static_cast<size_t>(token)]) {
        occurred_[static_cast<size_t>(token)] = true;
        tokens_.push_back(token);
    }
}

void Dry::apply(float * logits, std::vector<std::pair<int32_t, float>> & undo) {
    if (!active()) {
        return;
    }
    candidates_.clear();
    for (const int32_t token : tokens_) {
        candidates_.push_back({token, logits[token], 0.0f});
    }
    llama_token_data_array all{candidates_.data(), candidates_.size(), -1, false};
    llama_sampler_apply(native_.get(), &all);
    for (const llama_token_data & candidate : candidates_) {
        float & logit = logits[candidate.id];
        if (candidate.logit != logit) {
            undo.emplace_back(candidate.id, logit);
            logit = candidate.logit;
        }
    }
}

void Dry::reset() {
    if (active()) {
        llama_sampler_reset(native_.get());
        tokens_.clear();
        occurred_.assign(occurred_.size(), false);
    }
}

} // namespace pyollama
