// Owns one of llama.cpp's samplers.
#pragma once

#include "llama.h"

#include <memory>
#include <string>
#include <vector>

namespace pyollama {

struct FreeSampler {
    void operator()(llama_sampler * sampler) const { llama_sampler_free(sampler); }
};

using NativeSampler = std::unique_ptr<llama_sampler, FreeSampler>;

// Pointers into `strings`.
inline std::vector<const char *> c_strings(const std::vector<std::string> & strings) {
    std::vector<const char *> out;
    for (const std::string & string : strings) {
        out.push_back(string.c_str());
    }
    return out;
}

} // namespace pyollama
