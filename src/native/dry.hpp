// The penalty on tokens that would go on repeating what was said before.
#pragma once

#include "native_sampler.hpp"
#include "sampler_params.hpp"
#include "vocab.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace pyollama {

// llama.cpp's, put to the tokens that occurred: no other one can continue a repetition.
class Dry {
  public:
    // `last_n` is how far it looks back.
    Dry(const Vocab & vocab, const SamplerParams & params, int32_t last_n);
    Dry(const Dry & other);

    bool active() const { return native_ != nullptr; }
    void accept(int32_t token);
    // Adds what was changed to `undo`: token and old value.
    void apply(float * logits, std::vector<std::pair<int32_t, float>> & undo);
    void reset();

  private:
    NativeSampler native_; // null: not asked for
    std::vector<int32_t> tokens_;
    std::vector<bool> occurred_;
    std::vector<llama_token_data> candidates_;
};

} // namespace pyollama
