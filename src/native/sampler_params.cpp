#include "sampler_params.hpp"

#include "error.hpp"

#include <cmath>
#include <limits>

namespace pyollama {

namespace {

void check_finite(const char * field, float value) {
    if (!std::isfinite(value)) {
        throw Error(Code::invalid_request, std::string(field) + " must be a finite number");
    }
}

} // namespace

void check_params(const Vocab & vocab, const SamplerParams & params) {
    check_finite("temperature", params.temperature);
    check_finite("top_p", params.top_p);
    check_finite("min_p", params.min_p);
    check_finite("typical_p", params.typical_p);
    check_finite("top_n_sigma", params.top_n_sigma);
    check_finite("xtc_probability", params.xtc_probability);
    check_finite("xtc_threshold", params.xtc_threshold);
    check_finite("dry_multiplier", params.dry_multiplier);
    check_finite("dry_base", params.dry_base);
    check_finite("mirostat_tau", params.mirostat_tau);
    check_finite("mirostat_eta", params.mirostat_eta);
    check_finite("repeat_penalty", params.repeat_penalty);
    check_finite("presence_penalty", params.presence_penalty);
    check_finite("frequency_penalty", params.frequency_penalty);
    if (params.repeat_penalty <= 0.0f || !std::isfinite(1.0f / params.repeat_penalty)) {
        throw Error(Code::invalid_request, "repeat_penalty must be above 0");
    }
    if (params.mirostat < 0 || params.mirostat > 2) {
        throw Error(Code::invalid_request, "mirostat must be 0, 1 or 2");
    }
    if (params.repeat_last_n < -1 || params.dry_penalty_last_n < -1 || params.n_ctx < 0) {
        throw Error(Code::invalid_request,
                    "repeat_last_n and dry_penalty_last_n must be at least -1, n_ctx at least 0");
    }
    if (params.min_keep < 0 || params.dry_allowed_length < 0) {
        throw Error(Code::invalid_request, "min_keep and dry_allowed_length must not be negative");
    }
    for (const auto & [token, bias] : params.logit_bias) {
        vocab.check(token);
        if (std::isnan(bias) || bias == std::numeric_limits<float>::infinity()) {
            throw Error(Code::invalid_request,
                        "the logit_bias of token " + std::to_string(token) + " is not a number");
        }
    }
    for (const int32_t token : params.grammar_trigger_tokens) {
        vocab.check(token);
    }
}

} // namespace pyollama
