#include "sampler.hpp"

#include "error.hpp"
#include "exclusive.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pyollama {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
// Below this, dividing by the temperature leaves the range of a float; it is greedy anyway.
constexpr float lowest_temperature = 1e-5f;
// How many of the best are looked at for top-p, before all are.
constexpr size_t top_p_guesses[] = {64, 1024};

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

SamplerParams checked(const Model & model, SamplerParams params) {
    check_params(model.vocab(), params);
    return params;
}

void take_best(Row & row, Candidates & candidates, size_t count, float floor) {
    row.best(count, candidates.list);
    candidates.sorted = true;
    std::erase_if(candidates.list, [floor](const Candidate & one) { return one.logit < floor; });
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

} // namespace

Sampler::Sampler(std::shared_ptr<Model> model, SamplerParams params)
    : model_(std::move(model)), params_(checked(*model_, std::move(params))),
      seed_(choose_seed(params_.seed)), greedy_(params_.temperature < lowest_temperature),
      bias_(all_bias(model_->vocab(), params_)),
      penalties_(window(params_.repeat_last_n, *model_, params_), params_.repeat_penalty,
                 params_.frequency_penalty, params_.presence_penalty),
      dry_(model_->vocab(), params_, window(params_.dry_penalty_last_n, *model_, params_)),
      random_(seed_), random_for_xtc_(seed_) {
    const AssertionsThrow guard;
    if (params_.mirostat != 0 && !greedy_) {
        mirostat_.emplace(params_.mirostat, params_.mirostat_tau, params_.mirostat_eta,
                          params_.temperature, model_->vocab().size());
    }
    if (!params_.grammar.empty()) {
        grammar_.emplace(model_, params_);
    }
}

Sampler::Sampler(const Sampler & other)
    : model_(other.model_), params_(other.params_), seed_(other.seed_), greedy_(other.greedy_),
      bias_(other.bias_), penalties_(other.penalties_), dry_(other.dry_),
      mirostat_(other.mirostat_), grammar_(other.grammar_), random_(other.random_),
      random_for_xtc_(other.random_for_xtc_) {}

std::shared_ptr<Sampler> Sampler::clone() {
    const Exclusive hold(busy_, "the sampler");
    return std::shared_ptr<Sampler>(new Sampler(*this));
}

std::vector<std::string> Sampler::chain() const {
    const SamplerParams & p = params_;
    const bool draws = !greedy_ && !mirostat_;
    const std::pair<bool, const char *> steps[] = {
        {!bias_.empty(), "logit-bias"},
        {penalties_.active(), "penalties"},
        {dry_.active(), "dry"},
        {greedy_, "greedy"},
        {draws && p.top_n_sigma > 0.0f, "top-n-sigma"},
        {draws && p.top_k > 0, "top-k"},
        {draws && p.typical_p < 1.0f, "typical"},
        {draws && p.top_p < 1.0f, "top-p"},
        {draws && p.min_p > 0.0f, "min-p"},
        {draws && p.xtc_probability > 0.0f, "xtc"},
        {!greedy_, "temp"},
        {mirostat_.has_value(), p.mirostat == 1 ? "mirostat" : "mirostat-v2"},
        {draws, "dist"},
        {grammar_.has_value(), "grammar"},
    };
    std::vector<std::string> names;
    for (const auto & [active, name] : steps) {
        if (active) {
            names.emplace_back(name);
        }
    }
    return names;
}

// --- choosing -----------------------------------------------------------------------------------

int32_t Sampler::sample(float * logits, const uint32_t * mask, Scratch & scratch) {
    const Exclusive hold(busy_, "the sampler");
    int32_t token = 0;
    {
        const Restore restore(logits, scratch.undo);
        adjust(logits, scratch.undo);
        read(logits, mask, scratch.row);
        token = choose(scratch);
        if (grammar_ && !grammar_->allows(token)) {
            constrain(scratch);
            token = choose(scratch);
        }
    }
    if (grammar_) {
        grammar_->accept(&token, 1);
    }
    accept_token(token);
    return token;
}

int32_t Sampler::sample(float * logits, size_t count, const uint32_t * mask) {
    if (count != static_cast<size_t>(model_->vocab().size())) {
        throw Error(Code::invalid_request, std::to_string(count) + " logits for a model of " +
                                               std::to_string(model_->vocab().size()) + " tokens");
    }
    Scratch scratch;
    return sample(logits, mask, scratch);
}

void Sampler::adjust(float * logits, std::vector<std::pair<int32_t, float>> & undo) {
    for (const auto & [token, bias] : bias_) {
        undo.emplace_back(token, logits[token]);
        logits[token] += bias;
    }
    if (penalties_.active()) {
        penalties_.apply(logits, undo);
    }
    dry_.apply(logits, undo);
}

void Sampler::read(const float * logits, const uint32_t * mask, Row & row) const {
    const size_t n_vocab = static_cast<size_t>(model_->vocab().size());
    if (mask == nullptr) {
        row.read(logits, n_vocab);
    } else {
        row.read_masked(logits, mask, n_vocab);
    }
    if (row.empty() && mask != nullptr) {
        throw Error(Code::invalid_grammar, "the mask allows no token of the model");
    }
    if (row.empty()) {
        no_token_left();
    }
}

void Sampler::constrain(Scratch & scratch) {
    std::vector<Candidate> & list = scratch.candidates.list;
    scratch.row.at_least(-infinity, list);
    grammar_->filter(list);
    if (list.empty()) {
        throw Error(Code::invalid_grammar,
                    "no token of the model can continue the output as the grammar demands");
    }
    scratch.row.read_some(list);
}

int32_t Sampler::choose(Scratch & scratch) {
    Row & row = scratch.row;
    const int32_t token = greedy_     ? row.best()
                          : mirostat_ ? mirostat_->draw(row, scratch.candidates.list, random_)
                                      : draw(scratch);
    // whoever gets it looks things up with it, often unchecked
    if (token < 0 || token >= model_->vocab().size()) {
        throw Error(Code::internal_error,
                    "token " + std::to_string(token) + " was drawn, which the model does not have");
    }
    return token;
}

int32_t Sampler::draw(Scratch & scratch) {
    float floor = -infinity;
    if (params_.top_n_sigma > 0.0f) {
        floor = scratch.row.highest() -
                params_.top_n_sigma * static_cast<float>(scratch.row.deviation());
    }
    const float scale = 1.0f / params_.temperature;
    bool listed = narrow(scratch.row, scratch.candidates, floor);
    listed = exclude_top(scratch.row, scratch.candidates, floor, listed) || listed;
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    const double fraction = uniform(random_);
    return listed ? scratch.candidates.pick(fraction, scale)
                  : scratch.row.pick(fraction, scale, floor);
}

// Top-k to min-p. True where what they leave is in the list; otherwise it is what the row has from
// `floor` on, which needs no list.
bool Sampler::narrow(Row & row, Candidates & candidates, float & floor) const {
    const bool top_p = params_.top_p < 1.0f;
    const float lowest = floor;
    if (params_.top_k > 0) {
        take_best(row, candidates, static_cast<size_t>(params_.top_k), floor);
        narrow_list(candidates, top_p);
        return true;
    }
    if (params_.typical_p < 1.0f) {
        row.at_least(floor, candidates.list);
        candidates.sorted = false;
        narrow_list(candidates, top_p);
        return true;
    }
    if (top_p && take_top_p(row, candidates, floor)) {
        narrow_list(candidates, false);
        return true;
    }
    if (top_p) {
        floor = row.nucleus_floor(static_cast<double>(params_.top_p), floor);
    }
    if (params_.min_p > 0.0f) {
        floor = std::max(floor, row.highest() + std::log(params_.min_p));
    }
    // the best one stays even where a min-p above 1 asks for more than it has
    const int32_t keep = std::max(params_.min_keep, floor > row.highest() ? 1 : 0);
    take_best(row, candidates, static_cast<size_t>(keep), lowest);
    return !candidates.list.empty() && candidates.list.back().logit < floor;
}

// Most often few tokens have nearly all of the probability. False where it is not so.
bool Sampler::take_top_p(Row & row, Candidates & candidates, float floor) const {
    const auto p = static_cast<double>(params_.top_p);
    const auto min_keep = static_cast<size_t>(params_.min_keep);
    const double total = row.total(1.0f, floor);
    for (const size_t guess : top_p_guesses) {
        take_best(row, candidates, guess, floor);
        if (candidates.size() >= min_keep && candidates.total(1.0f) >= p * total) {
            candidates.keep_top_p(p, min_keep, total);
            return true;
        }
    }
    return false;
}

// Typical to min-p on what is in the list.
void Sampler::narrow_list(Candidates & candidates, bool top_p) const {
    const auto min_keep = static_cast<size_t>(params_.min_keep);
    if (params_.typical_p < 1.0f) {
        candidates.keep_typical(static_cast<double>(params_.typical_p), min_keep);
    }
    if (top_p) {
        candidates.keep_top_p(static_cast<double>(params_.top_p), min_keep, candidates.total(1.0f));
    }
    if (params_.min_p > 0.0f) {
        candidates.keep_min_p(params_.min_p, min_keep);
    }
}

// XTC. True where it was its turn; what it leaves is in the list then.
bool Sampler::exclude_top(Row & row, Candidates & candidates, float floor, bool listed) {
    if (!(params_.xtc_probability > 0.0f) || params_.xtc_threshold > 0.5f) {
        return false;
    }
    if (!listed) {
        take_best(row, candidates, 2, floor);
    }
    std::uniform_real_distribution<float> chance(0.0f, 1.0f);
    if (candidates.size() < 2 || chance(random_for_xtc_) > params_.xtc_probability) {
        return false;
    }
    if (!listed) {
        row.at_least(floor, candidates.list);
        candidates.sorted = false;
    }
    candidates.drop_top(static_cast<double>(params_.xtc_threshold),
                        static_cast<size_t>(params_.min_keep));
    return true;
}

// --- accepting ----------------------------------------------------------------------------------

void Sampler::accept_token(int32_t token) {
    penalties_.accept(token);
    dry_.accept(token);
}

void Sampler::accept(const int32_t * tokens, size_t count, bool grammar) {
    const Exclusive hold(busy_, "the sampler");
    for (size_t i = 0; i < count; ++i) {
        model_->vocab().check(tokens[i]);
    }
    if (grammar && grammar_) {
        grammar_->accept(tokens, count);
    }
    for (size_t i = 0; i < count; ++i) {
        accept_token(tokens[i]);
    }
}

void Sampler::reset() {
    const Exclusive hold(busy_, "the sampler");
    penalties_.reset();
    dry_.reset();
    random_.seed(seed_);
    random_for_xtc_.seed(seed_);
    if (mirostat_) {
        mirostat_->reset();
    }
    if (grammar_) {
        grammar_->reset();
    }
}

} // namespace pyollama
