// How the next token is chosen out of one row of logits.
#pragma once

#include "constraint.hpp"
#include "dry.hpp"
#include "mirostat.hpp"
#include "model.hpp"
#include "penalties.hpp"
#include "sampler_params.hpp"
#include "truncation.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace pyollama {

// Memory that one thread uses for one row after another.
struct Scratch {
    Row row;
    Candidates candidates;
    std::vector<std::pair<int32_t, float>> undo;
};

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
    int32_t sample(float * logits, const uint32_t * mask, Scratch & scratch);
    // The same for logits that come from elsewhere; there must be as many as the model has tokens.
    int32_t sample(float * logits, size_t count, const uint32_t * mask);
    void accept(const int32_t * tokens, size_t count, bool grammar);
    void reset();

  private:
    Sampler(const Sampler & other);

    void adjust(float * logits, std::vector<std::pair<int32_t, float>> & undo);
    void read(const float * logits, const uint32_t * mask, Row & row) const;
    void constrain(Scratch & scratch);
    int32_t choose(Scratch & scratch);
    int32_t draw(Scratch & scratch);
    bool narrow(Row & row, Candidates & candidates, float & floor) const;
    bool take_top_p(Row & row, Candidates & candidates, float floor) const;
    void narrow_list(Candidates & candidates, bool top_p) const;
    bool exclude_top(Row & row, Candidates & candidates, float floor, bool listed);
    void accept_token(int32_t token);

    std::shared_ptr<Model> model_;
    SamplerParams params_;
    uint32_t seed_;
    bool greedy_;
    std::vector<std::pair<int32_t, float>> bias_; // the caller's, and what the model suppresses
    Penalties penalties_;
    Dry dry_;
    std::optional<Mirostat> mirostat_;
    std::optional<Constraint> grammar_;
    std::mt19937 random_;
    std::mt19937 random_for_xtc_;
    std::atomic<bool> busy_{false};
};

} // namespace pyollama
