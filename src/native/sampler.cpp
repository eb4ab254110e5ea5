#include "sampler.hpp"

#include "error.hpp"
#include "exclusive.hpp"
#include "grammar.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <random>
#include <regex>

namespace pyollama {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
// Below this, dividing by the temperature leaves the range of a float; it is greedy anyway.
constexpr float lowest_temperature = 1e-5f;
constexpr int32_t mirostat_m = 100; // as the paper has it

void check_finite(const char * field, float value) {
    if (!std::isfinite(value)) {
        throw Error(Code::invalid_request, std::string(field) + " must be a finite number");
    }
}

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
        if (std::isnan(bias) || bias == infinity) {
            throw Error(Code::invalid_request,
                        "the logit_bias of token " + std::to_string(token) + " is not a number");
        }
    }
    for (const int32_t token : params.grammar_trigger_tokens) {
        vocab.check(token);
    }
}

// -1 stands for the whole context, and no window is longer than that.
int32_t window(int32_t last_n, const Model & model, const SamplerParams & params) {
    const int32_t n_ctx = params.n_ctx > 0 ? params.n_ctx : model.facts().n_ctx_train;
    return last_n < 0 ? n_ctx : std::min(last_n, std::max(n_ctx, 1 << 16));
}

uint32_t choose_seed(int64_t wanted) {
    const uint32_t seed =
        wanted < 0 ? std::random_device{}() : static_cast<uint32_t>(wanted & 0xffffffff);
    return seed == LLAMA_DEFAULT_SEED ? seed - 1 : seed; // that one means "random" to llama.cpp
}

std::vector<std::pair<int32_t, float>> all_bias(const Vocab & vocab, const SamplerParams & params) {
    std::vector<std::pair<int32_t, float>> bias = params.logit_bias;
    int32_t count = 0;
    const llama_token * suppressed = llama_vocab_get_suppress_tokens(vocab.raw(), &count);
    for (int32_t i = 0; i < count; ++i) {
        vocab.check(suppressed[i]);
        bias.emplace_back(suppressed[i], -infinity);
    }
    return bias;
}

void check_patterns(const std::vector<std::string> & patterns) {
    for (const std::string & pattern : patterns) {
        try {
            const std::regex compiled(pattern);
        } catch (const std::regex_error & error) {
            throw Error(Code::invalid_grammar,
                        "trigger pattern '" + pattern + "': " + error.what());
        }
    }
}

std::vector<const char *> c_strings(const std::vector<std::string> & strings) {
    std::vector<const char *> out;
    for (const std::string & string : strings) {
        out.push_back(string.c_str());
    }
    return out;
}

[[noreturn]] void fail_not_finite() {
    throw Error(Code::native_error, "the model computed logits that are not finite numbers");
}

// Puts the logits back when sampling ends, however it ends.
class Restore {
  public:
    Restore(float * logits, std::vector<std::pair<int32_t, float>> & undo)
        : logits_(logits), undo_(undo) {
        undo_.clear();
    }
    ~Restore() {
        for (auto entry = undo_.rbegin(); entry != undo_.rend(); ++entry) {
            logits_[entry->first] = entry->second;
        }
    }
    Restore(const Restore &) = delete;
    Restore & operator=(const Restore &) = delete;

  private:
    float * logits_;
    std::vector<std::pair<int32_t, float>> & undo_;
};

// A block is looked at closely only if it has a value that could matter. The test of a block has no
// dependency between its values, so it runs on vector units.
constexpr size_t block_size = 64;

bool block_matters(const float * values, size_t size, float threshold) {
    unsigned matters = 0;
    for (size_t i = 0; i < size; ++i) {
        matters |= static_cast<unsigned>(values[i] > threshold) |
                   static_cast<unsigned>(!(values[i] < infinity));
    }
    return matters != 0;
}

} // namespace

std::vector<int32_t> highest_tokens(const float * values, size_t size, size_t count) {
    const auto better = [values](int32_t a, int32_t b) {
        return values[a] > values[b] || (values[a] == values[b] && a < b);
    };
    count = std::min(count, size);
    std::vector<int32_t> heap; // the worst of the best on top
    heap.reserve(count);
    if (count == 0) {
        return heap;
    }
    float threshold = -infinity;
    for (size_t begin = 0; begin < size; begin += block_size) {
        const size_t end = std::min(size, begin + block_size);
        if (!block_matters(values + begin, end - begin, threshold)) {
            continue;
        }
        for (size_t i = begin; i < end; ++i) {
            if (!(values[i] < infinity)) {
                fail_not_finite();
            }
            if (values[i] <= threshold) {
                continue;
            }
            if (heap.size() == count) {
                std::pop_heap(heap.begin(), heap.end(), better);
                heap.pop_back();
            }
            heap.push_back(static_cast<int32_t>(i));
            std::push_heap(heap.begin(), heap.end(), better);
            if (heap.size() == count) {
                threshold = values[heap.front()];
            }
        }
    }
    if (heap.empty()) {
        throw Error(Code::native_error, "no token is left to choose from");
    }
    std::sort_heap(heap.begin(), heap.end(), better);
    return heap;
}

Sampler::Sampler(std::shared_ptr<Model> model, SamplerParams params)
    : model_(std::move(model)), params_(std::move(params)), seed_(choose_seed(params_.seed)),
      greedy_(params_.temperature < lowest_temperature),
      penalties_(window(params_.repeat_last_n, *model_, params_), params_.repeat_penalty,
                 params_.frequency_penalty, params_.presence_penalty) {
    const AssertionsThrow guard;
    check_params(model_->vocab(), params_);
    bias_ = all_bias(model_->vocab(), params_);
    make_chains();
    if (!params_.grammar.empty()) {
        make_grammar();
        prefill_grammar();
    }
}

Sampler::Sampler(const Sampler & other)
    : model_(other.model_), params_(other.params_), seed_(other.seed_), greedy_(other.greedy_),
      bias_(other.bias_), penalties_(other.penalties_),
      head_(llama_sampler_clone(other.head_.get())), tail_(llama_sampler_clone(other.tail_.get())),
      grammar_(llama_sampler_clone(other.grammar_.get())) {}

std::shared_ptr<Sampler> Sampler::clone() {
    const Exclusive hold(busy_, "the sampler");
    return std::shared_ptr<Sampler>(new Sampler(*this));
}

void Sampler::make_chains() {
    llama_sampler_chain_params chain_params = llama_sampler_chain_default_params();
    chain_params.no_perf = true;
    head_.reset(llama_sampler_chain_init(chain_params));
    tail_.reset(llama_sampler_chain_init(chain_params));
    const auto add = [](const Native & chain, llama_sampler * step) {
        llama_sampler_chain_add(chain.get(), step);
    };
    const SamplerParams & p = params_;
    const size_t keep = static_cast<size_t>(p.min_keep);
    const int32_t n_vocab = model_->vocab().size();
    const int32_t dry_window = window(p.dry_penalty_last_n, *model_, p);
    if (p.dry_multiplier != 0.0f && p.dry_base >= 1.0f && dry_window > 0) {
        std::vector<const char *> breakers = c_strings(p.dry_sequence_breakers);
        add(head_, llama_sampler_init_dry(model_->vocab().raw(), p.dry_multiplier, p.dry_base,
                                          p.dry_allowed_length, dry_window, breakers.data(),
                                          breakers.size()));
    }
    if (greedy_) {
        return;
    }
    if (p.mirostat != 0) {
        add(tail_, llama_sampler_init_temp(p.temperature));
        add(tail_, p.mirostat == 1
                       ? llama_sampler_init_mirostat(n_vocab, seed_, p.mirostat_tau, p.mirostat_eta,
                                                     mirostat_m)
                       : llama_sampler_init_mirostat_v2(seed_, p.mirostat_tau, p.mirostat_eta));
        return;
    }
    if (p.top_n_sigma > 0.0f) {
        add(head_, llama_sampler_init_top_n_sigma(p.top_n_sigma));
    }
    if (p.typical_p < 1.0f) {
        add(tail_, llama_sampler_init_typical(p.typical_p, keep));
    }
    if (p.top_p < 1.0f) {
        add(tail_, llama_sampler_init_top_p(p.top_p, keep));
    }
    if (p.min_p > 0.0f) {
        add(tail_, llama_sampler_init_min_p(p.min_p, keep));
    }
    if (p.xtc_probability > 0.0f) {
        add(tail_, llama_sampler_init_xtc(p.xtc_probability, p.xtc_threshold, keep, seed_));
    }
    add(tail_, llama_sampler_init_temp(p.temperature));
    add(tail_, llama_sampler_init_dist(seed_));
}

std::vector<std::string> Sampler::chain() const {
    std::vector<std::string> names;
    const auto add_chain = [&names](const Native & chain) {
        for (int32_t i = 0; i < llama_sampler_chain_n(chain.get()); ++i) {
            names.emplace_back(llama_sampler_name(llama_sampler_chain_get(chain.get(), i)));
        }
    };
    if (!bias_.empty()) {
        names.emplace_back("logit-bias");
    }
    if (penalties_.active()) {
        names.emplace_back("penalties");
    }
    add_chain(head_);
    if (greedy_) {
        names.emplace_back("greedy");
    } else if (params_.mirostat == 0 && params_.top_k > 0) {
        names.emplace_back("top-k");
    }
    add_chain(tail_);
    if (grammar_ != nullptr) {
        names.emplace_back("grammar");
    }
    return names;
}

// --- choosing -----------------------------------------------------------------------------------

int32_t Sampler::sample(float * logits, const uint32_t * mask) {
    const Exclusive hold(busy_, "the sampler");
    int32_t token = 0;
    {
        const Restore restore(logits, undo_);
        for (const auto & [biased, bias] : bias_) {
            undo_.emplace_back(biased, logits[biased]);
            logits[biased] += bias;
        }
        if (penalties_.active()) {
            penalties_.apply(logits, undo_);
        }
        token = choose(logits, mask, false);
        if (grammar_ != nullptr && !grammar_allows(grammar_.get(), token)) {
            token = choose(logits, mask, true);
        }
    }
    if (grammar_ != nullptr) {
        accept_in(grammar_.get(), token);
    }
    accept_in_chains(token);
    return token;
}

int32_t Sampler::choose(float * logits, const uint32_t * mask, bool constrained) {
    const size_t n_vocab = static_cast<size_t>(model_->vocab().size());
    const bool need_all = constrained || mask != nullptr || llama_sampler_chain_n(head_.get()) > 0;
    const bool limited = params_.mirostat == 0 && params_.top_k > 0;
    if (greedy_ && !need_all) {
        return highest_tokens(logits, n_vocab, 1).front();
    }
    if (!need_all && limited) {
        gather_highest(logits);
        llama_token_data_array best{candidates_.data(), candidates_.size(), -1, true};
        return draw(best);
    }
    gather_all(logits, mask);
    if (constrained) {
        llama_token_data_array all{candidates_.data(), candidates_.size(), -1, false};
        llama_sampler_apply(grammar_.get(), &all);
        drop_impossible();
        if (candidates_.empty()) {
            throw Error(Code::invalid_grammar,
                        "no token of the model can continue the output as the grammar demands");
        }
    }
    llama_token_data_array left{candidates_.data(), candidates_.size(), -1, false};
    llama_sampler_apply(head_.get(), &left);
    if (greedy_) {
        return std::max_element(left.data, left.data + left.size,
                                [](const llama_token_data & a, const llama_token_data & b) {
                                    return a.logit < b.logit;
                                })
            ->id;
    }
    if (limited && static_cast<size_t>(params_.top_k) < left.size) {
        const Native top_k(llama_sampler_init_top_k(params_.top_k));
        llama_sampler_apply(top_k.get(), &left);
    }
    return draw(left);
}

int32_t Sampler::draw(llama_token_data_array & candidates) {
    llama_sampler_apply(tail_.get(), &candidates);
    if (candidates.selected < 0 || candidates.selected >= static_cast<int64_t>(candidates.size)) {
        throw Error(Code::native_error, "no token is left to choose from");
    }
    return candidates.data[candidates.selected].id;
}

void Sampler::gather_highest(const float * logits) {
    const size_t n_vocab = static_cast<size_t>(model_->vocab().size());
    const auto best = highest_tokens(logits, n_vocab, static_cast<size_t>(params_.top_k));
    candidates_.clear();
    for (const int32_t token : best) {
        candidates_.push_back({token, logits[token], 0.0f});
    }
}

void Sampler::gather_all(const float * logits, const uint32_t * mask) {
    const int32_t n_vocab = model_->vocab().size();
    candidates_.clear();
    candidates_.reserve(static_cast<size_t>(n_vocab));
    for (int32_t token = 0; token < n_vocab; ++token) {
        if (!(logits[token] < infinity)) {
            fail_not_finite();
        }
        const bool allowed = mask == nullptr || (mask[token / 32] >> (token % 32) & 1u) != 0;
        if (allowed && logits[token] > -infinity) {
            candidates_.push_back({token, logits[token], 0.0f});
        }
    }
    if (candidates_.empty() && mask != nullptr) {
        throw Error(Code::invalid_grammar, "the mask allows no token of the model");
    }
    if (candidates_.empty()) {
        throw Error(Code::native_error, "no token is left to choose from");
    }
}

void Sampler::drop_impossible() {
    const auto impossible = [](const llama_token_data & candidate) {
        return candidate.logit == -infinity;
    };
    candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(), impossible),
                      candidates_.end());
}

// --- accepting ----------------------------------------------------------------------------------

void Sampler::accept_in_chains(int32_t token) {
    penalties_.accept(token);
    llama_sampler_accept(head_.get(), token);
    llama_sampler_accept(tail_.get(), token);
}

void Sampler::accept(const int32_t * tokens, size_t count, bool grammar) {
    const Exclusive hold(busy_, "the sampler");
    for (size_t i = 0; i < count; ++i) {
        model_->vocab().check(tokens[i]);
    }
    if (grammar && grammar_ != nullptr) {
        Native advanced(llama_sampler_clone(grammar_.get()));
        for (size_t i = 0; i < count; ++i) {
            accept_in(advanced.get(), tokens[i]);
        }
        grammar_ = std::move(advanced);
    }
    for (size_t i = 0; i < count; ++i) {
        accept_in_chains(tokens[i]);
    }
}

void Sampler::reset() {
    const Exclusive hold(busy_, "the sampler");
    penalties_.reset();
    llama_sampler_reset(head_.get());
    llama_sampler_reset(tail_.get());
    if (grammar_ != nullptr) {
        llama_sampler_reset(grammar_.get());
        prefill_grammar();
    }
}

// --- grammar ------------------------------------------------------------------------------------

void Sampler::make_grammar() {
    check_grammar(params_.grammar, params_.grammar_root);
    check_patterns(params_.grammar_trigger_patterns);
    const llama_vocab * vocab = model_->vocab().raw();
    const char * text = params_.grammar.c_str();
    const char * root = params_.grammar_root.c_str();
    const NativeCall call;
    if (params_.grammar_lazy) {
        std::vector<const char *> patterns = c_strings(params_.grammar_trigger_patterns);
        grammar_.reset(llama_sampler_init_grammar_lazy_patterns(
            vocab, text, root, patterns.data(), patterns.size(),
            params_.grammar_trigger_tokens.data(), params_.grammar_trigger_tokens.size()));
    } else {
        grammar_.reset(llama_sampler_init_grammar(vocab, text, root));
    }
    if (grammar_ == nullptr) {
        throw call.failed(Code::invalid_grammar, "the grammar cannot be used");
    }
}

// A grammar for a whole answer begins where the answer does, which may be before the end of the
// prompt: templates open the answer themselves.
void Sampler::prefill_grammar() {
    const std::string & text = params_.grammar_prefill;
    if (params_.grammar_lazy || text.empty()) {
        return;
    }
    const Vocab & vocab = model_->vocab();
    const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
    const std::vector<int32_t> tokens = vocab.tokenize(text, false, true);
    for (size_t i = 0; i < tokens.size(); ++i) {
        // some vocabularies put a space before the first token
        const std::string piece = vocab.piece(tokens[i], true);
        const bool extra = i == 0 && !piece.empty() && is_space(piece[0]) && !is_space(text[0]);
        if (!extra) {
            accept_in(grammar_.get(), tokens[i]);
        }
    }
}

bool Sampler::grammar_allows(llama_sampler * grammar, int32_t token) const {
    llama_token_data candidate{token, 1.0f, 0.0f};
    llama_token_data_array one{&candidate, 1, -1, false};
    llama_sampler_apply(grammar, &one);
    return candidate.logit != -infinity;
}

// Asks first: llama.cpp aborts the process where generation ends before the grammar does.
void Sampler::accept_in(llama_sampler * grammar, int32_t token) const {
    const auto reject = [this, token] {
        throw Error(Code::invalid_grammar, "token " + std::to_string(token) + " ('" +
                                               model_->vocab().piece(token, true) +
                                               "') does not fit the grammar");
    };
    if (!grammar_allows(grammar, token)) {
        reject();
    }
    try {
        llama_sampler_accept(grammar, token);
    } catch (const std::runtime_error &) {
        reject();
    }
}

} // namespace pyollama
