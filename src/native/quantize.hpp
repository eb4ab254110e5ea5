// Quantised copies of GGUF files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pyollama {

struct QuantizeParams {
    std::string type;
    int32_t n_threads = 0; // 0: all cores
    bool allow_requantize = false;
    bool quantize_output = true;
    bool pure = false;
    std::string output_type;    // empty: what `type` implies
    std::string embedding_type; // the same
};

// A failure leaves `target` as it was.
void quantize(const std::string & source, const std::string & target,
              const QuantizeParams & params);

std::vector<std::string> quantization_types();

} // namespace pyollama
