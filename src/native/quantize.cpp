#include "quantize.hpp"

#include "error.hpp"

#include "llama.h"

#include <array>
#include <filesystem>
#include <utility>

namespace pyollama {

namespace {

// The names that users of llama.cpp know; llama_ftype_name() has sentences instead.
constexpr std::array<std::pair<const char *, llama_ftype>, 36> types = {{
    {"F32", LLAMA_FTYPE_ALL_F32},
    {"F16", LLAMA_FTYPE_MOSTLY_F16},
    {"BF16", LLAMA_FTYPE_MOSTLY_BF16},
    {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
    {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K},
    {"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M},
    {"Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S},
    {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},
    {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},
    {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M},
    {"Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S},
    {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},
    {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
    {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL},
    {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS},
    {"Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L},
    {"Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M},
    {"Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S},
    {"IQ3_M", LLAMA_FTYPE_MOSTLY_IQ3_M},
    {"IQ3_S", LLAMA_FTYPE_MOSTLY_IQ3_S},
    {"IQ3_XS", LLAMA_FTYPE_MOSTLY_IQ3_XS},
    {"IQ3_XXS", LLAMA_FTYPE_MOSTLY_IQ3_XXS},
    {"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K},
    {"Q2_K_S", LLAMA_FTYPE_MOSTLY_Q2_K_S},
    {"IQ2_M", LLAMA_FTYPE_MOSTLY_IQ2_M},
    {"IQ2_S", LLAMA_FTYPE_MOSTLY_IQ2_S},
    {"IQ2_XS", LLAMA_FTYPE_MOSTLY_IQ2_XS},
    {"IQ2_XXS", LLAMA_FTYPE_MOSTLY_IQ2_XXS},
    {"IQ1_M", LLAMA_FTYPE_MOSTLY_IQ1_M},
    {"IQ1_S", LLAMA_FTYPE_MOSTLY_IQ1_S},
    {"TQ2_0", LLAMA_FTYPE_MOSTLY_TQ2_0},
    {"TQ1_0", LLAMA_FTYPE_MOSTLY_TQ1_0},
    {"MXFP4_MOE", LLAMA_FTYPE_MOSTLY_MXFP4_MOE},
    {"NVFP4", LLAMA_FTYPE_MOSTLY_NVFP4},
    {"Q2_0", LLAMA_FTYPE_MOSTLY_Q2_0},
    {"Q1_0", LLAMA_FTYPE_MOSTLY_Q1_0},
}};

llama_ftype file_type(const std::string & name) {
    for (const auto & [known, type] : types) {
        if (name == known) {
            return type;
        }
    }
    throw Error(Code::invalid_request, "there is no quantization type '" + name + "'");
}

ggml_type tensor_type(const std::string & name) {
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const auto type = static_cast<ggml_type>(i);
        const char * known = ggml_type_name(type);
        if (known != nullptr && name == known) {
            return type;
        }
    }
    throw Error(Code::invalid_request, "there is no tensor type '" + name + "'");
}

} // namespace

std::vector<std::string> quantization_types() {
    std::vector<std::string> names;
    for (const auto & entry : types) {
        names.emplace_back(entry.first);
    }
    return names;
}

void quantize(const std::string & source, const std::string & target,
              const QuantizeParams & params) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    if (!fs::is_regular_file(source, ignored)) {
        throw Error(Code::invalid_request, source + " is not a file");
    }
    if (fs::equivalent(source, target, ignored)) {
        throw Error(Code::invalid_request, "a file cannot be quantized into itself");
    }
    llama_model_quantize_params native = llama_model_quantize_default_params();
    native.nthread = params.n_threads;
    native.ftype = file_type(params.type);
    native.allow_requantize = params.allow_requantize;
    native.quantize_output_tensor = params.quantize_output;
    native.pure = params.pure;
    if (!params.output_type.empty()) {
        native.output_tensor_type = tensor_type(params.output_type);
    }
    if (!params.embedding_type.empty()) {
        native.token_embedding_type = tensor_type(params.embedding_type);
    }
    const std::string part = target + ".part"; // so that `target` is whole or as it was
    const AssertionsThrow guard;
    const NativeCall call;
    try {
        if (llama_model_quantize(source.c_str(), part.c_str(), &native) != 0) {
            throw call.failed(Code::native_error, "cannot quantize " + source);
        }
        fs::rename(part, target);
    } catch (...) {
        fs::remove(part, ignored);
        throw;
    }
}

} // namespace pyollama
