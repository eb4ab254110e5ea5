#include "quantize.hpp"

#include "error.hpp"

#include "gguf.h"
#include "llama.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

namespace pyollama {

namespace {

// The names that users of llama.cpp know; llama_ftype_name() has sentences instead.
constexpr std::array<std::pair<const char *, llama_ftype>, 35> types = {{
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

// The smallest types need to know how much each column of a matrix matters.
bool needs_importance(llama_ftype type) {
    switch (type) {
    case LLAMA_FTYPE_MOSTLY_Q2_K_S:
    case LLAMA_FTYPE_MOSTLY_IQ1_M:
    case LLAMA_FTYPE_MOSTLY_IQ1_S:
    case LLAMA_FTYPE_MOSTLY_IQ2_M:
    case LLAMA_FTYPE_MOSTLY_IQ2_S:
    case LLAMA_FTYPE_MOSTLY_IQ2_XS:
    case LLAMA_FTYPE_MOSTLY_IQ2_XXS:
    case LLAMA_FTYPE_MOSTLY_IQ3_XS:
    case LLAMA_FTYPE_MOSTLY_IQ3_XXS:
        return true;
    default:
        return false;
    }
}

// Nobody has measured that here, so all columns of all matrices matter alike. The list ends with a
// null name; its entries point into `names` and `weights`.
struct EqualImportance {
    std::vector<std::string> names;
    std::vector<float> weights;
    std::vector<llama_model_imatrix_data> list;

    explicit EqualImportance(const std::string & source) {
        ggml_context * tensors = nullptr;
        const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(
            gguf_init_from_file(source.c_str(), {true, &tensors}), gguf_free);
        const std::unique_ptr<ggml_context, decltype(&ggml_free)> owner(tensors, ggml_free);
        if (!file) {
            throw Error(Code::native_error, "cannot quantize " + source);
        }
        size_t longest = 0;
        std::vector<size_t> sizes;
        for (ggml_tensor * tensor = ggml_get_first_tensor(tensors); tensor != nullptr;
             tensor = ggml_get_next_tensor(tensors, tensor)) {
            names.emplace_back(ggml_get_name(tensor));
            sizes.push_back(static_cast<size_t>(tensor->ne[0] * tensor->ne[2]));
            longest = std::max(longest, sizes.back());
        }
        weights.assign(longest, 1.0F);
        for (size_t i = 0; i < names.size(); ++i) {
            list.push_back({names[i].c_str(), weights.data(), sizes[i]});
        }
        list.push_back({nullptr, nullptr, 0});
    }
};

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
    std::optional<EqualImportance> importance;
    try {
        if (needs_importance(native.ftype)) {
            importance.emplace(source);
            native.imatrix = importance->list.data();
        }
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
