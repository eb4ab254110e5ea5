// Draws that hold the surprise of the text near a target.
#pragma once

#include "row.hpp"

#include <cstdint>
#include <random>
#include <vector>

namespace pyollama {

// Basu et al., "Mirostat: a neural text decoding algorithm that directly controls perplexity", with
// the constants and the arithmetic of llama.cpp.
class Mirostat {
  public:
    // `version` is 1 or 2; `tau` is the target in bits, `eta` how fast to get there.
    Mirostat(int32_t version, float tau, float eta, float temperature, int32_t n_vocab);

    void reset() { mu_ = 2.0f * tau_; }
    int32_t draw(Row & row, std::vector<Candidate> & candidates, std::mt19937 & random);

  private:
    size_t keep_estimated(Row & row, std::vector<Candidate> & candidates) const;
    void keep_unsurprising(Row & row, std::vector<Candidate> & candidates) const;

    int32_t version_;
    float tau_;
    float eta_;
    float temperature_;
    float n_vocab_;
    float mu_; // the surprise, in bits, above which a token is not chosen
};

} // namespace pyollama
