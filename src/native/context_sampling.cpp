// What is done with the logits of a batch: choosing tokens, log-probabilities.
#include "context.hpp"

#include "exclusive.hpp"
#include "sampler.hpp"

#include <algorithm>
#include <cmath>

namespace pyollama {

namespace {

// The logarithm of the sum of the exponentials.
double log_total(const float * values, size_t size) {
    const float highest = *std::max_element(values, values + size);
    double sum = 0.0;
    for (size_t i = 0; i < size; ++i) {
        sum += std::exp(values[i] - highest);
    }
    if (!std::isfinite(sum)) {
        throw Error(Code::native_error, "the logits are not finite");
    }
    return static_cast<double>(highest) + std::log(sum);
}

const uint32_t * mask_of(const uint32_t * masks, size_t words, size_t index) {
    return masks == nullptr ? nullptr : masks + index * words;
}

} // namespace

float * Context::row_for(const Sampler & sampler, size_t index, int32_t row) {
    if (sampler.model() != model_) {
        throw Error(Code::invalid_request,
                    "sampler " + std::to_string(index) + " was made for another model");
    }
    return const_cast<float *>(row_of(logits(), logits_width(), row));
}

void Context::sample(const int32_t * rows, const std::vector<std::shared_ptr<Sampler>> & samplers,
                     const uint32_t * masks, int32_t * out) {
    const Exclusive hold(busy_, "the context");
    std::vector<float *> values;
    for (size_t i = 0; i < samplers.size(); ++i) {
        values.push_back(row_for(*samplers[i], i, rows[i]));
    }
    for (size_t i = 0; i < samplers.size(); ++i) {
        out[i] = samplers[i]->sample(values[i], mask_of(masks, mask_words(), i));
    }
}

size_t Context::verify(const int32_t * rows, const int32_t * drafts, size_t n_drafts,
                       Sampler & sampler, const uint32_t * masks, int32_t * out) {
    const Exclusive hold(busy_, "the context");
    std::vector<float *> values;
    for (size_t i = 0; i <= n_drafts; ++i) {
        values.push_back(row_for(sampler, 0, rows[i]));
    }
    for (size_t i = 0; i < n_drafts; ++i) {
        model_->vocab().check(drafts[i]);
    }
    for (size_t i = 0;; ++i) {
        out[i] = sampler.sample(values[i], mask_of(masks, mask_words(), i));
        if (i == n_drafts || out[i] != drafts[i]) {
            return i + 1;
        }
    }
}

TokenLogprobs Context::logprobs(int32_t row, int32_t token, int32_t n_top) {
    const Exclusive hold(busy_, "the context");
    model_->vocab().check(token);
    const size_t width = logits_width();
    const float * values = row_of(logits(), width, row);
    if (n_top < 0 || static_cast<size_t>(n_top) > width) {
        throw Error(Code::invalid_request, "n_top must be 0 to the size of the vocabulary");
    }
    const double total = log_total(values, width);
    const auto logprob = [&](int32_t id) {
        return static_cast<float>(static_cast<double>(values[id]) - total);
    };
    TokenLogprobs result{logprob(token), {}, {}};
    result.top_ids = highest_tokens(values, width, static_cast<size_t>(n_top));
    for (const int32_t id : result.top_ids) {
        result.top_logprobs.push_back(logprob(id));
    }
    return result;
}

void Context::token_logprobs(const int32_t * rows, const int32_t * tokens, size_t count,
                             float * out) {
    const Exclusive hold(busy_, "the context");
    const size_t width = logits_width();
    for (size_t i = 0; i < count; ++i) {
        model_->vocab().check(tokens[i]);
        row_of(logits(), width, rows[i]);
    }
    for (size_t i = 0; i < count; ++i) {
        const float * values = row_of(logits(), width, rows[i]);
        out[i] =
            static_cast<float>(static_cast<double>(values[tokens[i]]) - log_total(values, width));
    }
}

} // namespace pyollama
