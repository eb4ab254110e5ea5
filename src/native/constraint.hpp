// A grammar that the text has to follow, as llama.cpp understands it.
#pragma once

#include "model.hpp"
#include "native_sampler.hpp"
#include "row.hpp"
#include "sampler_params.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace pyollama {

class Constraint {
  public:
    // Throws invalid_grammar. Has seen the part of the prompt that belongs to the answer.
    Constraint(std::shared_ptr<Model> model, const SamplerParams & params);
    Constraint(const Constraint & other);

    bool allows(int32_t token) const { return allowed_by(native_.get(), token); }
    // Drops what cannot come next.
    void filter(std::vector<Candidate> & candidates);
    // Throws invalid_grammar where one of the tokens does not fit, and accepts none of them then.
    void accept(const int32_t * tokens, size_t count);
    void reset();

  private:
    void make();
    void accept_prompt();
    static bool allowed_by(llama_sampler * grammar, int32_t token);
    void accept_in(llama_sampler * grammar, int32_t token) const;

    std::shared_ptr<Model> model_;
    std::shared_ptr<const SamplerParams> params_;
    NativeSampler native_;
    std::vector<llama_token_data> candidates_;
};

} // namespace pyollama
