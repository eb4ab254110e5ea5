// What is done with the logits of a batch: choosing tokens, log-probabilities.
#include "context.hpp"

#include "exclusive.hpp"
#include "sampler.hpp"

#include <algorithm>

namespace pyollama {

namespace {

// Other threads cost more than they save on less work than this.
constexpr size_t values_worth_threads = 150'000;

const uint32_t * mask_of(const uint32_t * masks, size_t words, size_t index) {
    return masks == nullptr ? nullptr : masks + index * words;
}

template <typename Value> bool all_differ(std::vector<Value> values) {
    std::sort(values.begin(), values.end());
    return std::adjacent_find(values.begin(), values.end()) == values.end();
}

} // namespace

float * Context::row_for(const Sampler & sampler, size_t index, int32_t row) {
    if (sampler.model() != model_) {
        throw Error(Code::invalid_request,
                    "sampler " + std::to_string(index) + " was made for another model");
    }
    return const_cast<float *>(row_of(logits(), logits_width(), row));
}

void Context::for_each_row(size_t count, bool parallel,
                           const std::function<void(size_t index, Scratch & scratch)> & task) {
    // as many as a batch of several tokens takes: OpenMP ends those that a smaller team leaves out
    const bool share = parallel && count * logits_width() >= values_worth_threads;
    const size_t threads = share ? static_cast<size_t>(n_threads_batch()) : 1;
    scratch_.resize(std::max(scratch_.size(), threads));
    workers_.run(count, threads,
                 [&](size_t index, size_t worker) { task(index, scratch_[worker]); });
}

void Context::sample(const int32_t * rows, const std::vector<std::shared_ptr<Sampler>> & samplers,
                     const uint32_t * masks, int32_t * out) {
    const Exclusive hold(busy_, "the context");
    std::vector<float *> values;
    std::vector<const Sampler *> chosen_by;
    for (size_t i = 0; i < samplers.size(); ++i) {
        values.push_back(row_for(*samplers[i], i, rows[i]));
        chosen_by.push_back(samplers[i].get());
    }
    // a sampler changes the row while it chooses, and itself
    const bool parallel = all_differ(values) && all_differ(chosen_by);
    for_each_row(samplers.size(), parallel, [&](size_t i, Scratch & scratch) {
        out[i] = samplers[i]->sample(values[i], mask_of(masks, mask_words(), i), scratch);
    });
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
    scratch_.resize(std::max(scratch_.size(), size_t{1}));
    for (size_t i = 0;; ++i) {
        out[i] = sampler.sample(values[i], mask_of(masks, mask_words(), i), scratch_.front());
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
    TokenLogprobs result;
    for_each_row(1, false, [&](size_t, Scratch & scratch) {
        scratch.row.read(values, width);
        const double total = log_total(scratch.row);
        result.chosen = static_cast<float>(static_cast<double>(values[token]) - total);
        scratch.row.best(static_cast<size_t>(n_top), scratch.candidates.list);
        for (const Candidate & one : scratch.candidates.list) {
            result.top_ids.push_back(one.id);
            result.top_logprobs.push_back(
                static_cast<float>(static_cast<double>(one.logit) - total));
        }
    });
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
    const float * data = count > 0 ? logits() : nullptr;
    for_each_row(count, true, [&](size_t i, Scratch & scratch) {
        const float * values = row_of(data, width, rows[i]);
        scratch.row.read(values, width);
        out[i] =
            static_cast<float>(static_cast<double>(values[tokens[i]]) - log_total(scratch.row));
    });
}

} // namespace pyollama
