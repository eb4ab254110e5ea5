#include "model.hpp"

#include "error.hpp"

#include "llama.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

namespace pyollama {

namespace {

llama_split_mode split_mode(const std::string & name) {
    if (name == "none") {
        return LLAMA_SPLIT_MODE_NONE;
    }
    if (name == "layer") {
        return LLAMA_SPLIT_MODE_LAYER;
    }
    if (name == "row") {
        return LLAMA_SPLIT_MODE_ROW;
    }
    if (name == "tensor") {
        return LLAMA_SPLIT_MODE_TENSOR;
    }
    throw Error(Code::invalid_request,
                "split_mode '" + name + "' is none of none, layer, row, tensor");
}

llama_load_mode load_mode(const ModelParams & params) {
    if (params.use_mlock) {
        return params.use_mmap == 0 ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_MMAP_MLOCK;
    }
    if (params.use_mmap < 0) {
        return LLAMA_LOAD_MODE_AUTO;
    }
    return params.use_mmap ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
}

// Null-terminated, as llama.cpp wants it.
std::vector<ggml_backend_dev_t> devices_by_name(const std::vector<std::string> & names) {
    std::vector<ggml_backend_dev_t> out;
    for (const std::string & name : names) {
        ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
        if (device == nullptr) {
            throw Error(Code::invalid_request, "there is no device '" + name + "'");
        }
        // the CPU takes what is left over, and cannot be asked for
        if (ggml_backend_dev_type(device) != GGML_BACKEND_DEVICE_TYPE_CPU) {
            out.push_back(device);
        }
    }
    out.push_back(nullptr);
    return out;
}

std::vector<float> padded_split(const std::vector<float> & split) {
    if (split.size() > llama_max_devices()) {
        throw Error(Code::invalid_request, "tensor_split has more than " +
                                               std::to_string(llama_max_devices()) + " entries");
    }
    for (const float part : split) {
        if (!std::isfinite(part) || part < 0.0f) {
            throw Error(Code::invalid_request, "tensor_split must not have negative entries");
        }
    }
    std::vector<float> out = split;
    out.resize(llama_max_devices(), 0.0f);
    return out;
}

void check_readable(const std::string & path) {
    std::FILE * file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) {
        throw Error(Code::model_load_failed, path + ": " + std::strerror(errno));
    }
    std::fclose(file);
}

bool on_progress(float value, void * user_data) {
    auto * progress = static_cast<LoadProgress *>(user_data);
    progress->value.store(value);
    return !progress->cancelled.load();
}

// llama.cpp's string getters: length or -1, and a buffer that may be too small.
template <typename Getter> std::optional<std::string> read_string(Getter getter) {
    std::string out(256, '\0');
    int32_t size = getter(out.data(), out.size());
    if (size >= static_cast<int32_t>(out.size())) {
        out.resize(static_cast<size_t>(size) + 1);
        size = getter(out.data(), out.size());
    }
    if (size < 0) {
        return std::nullopt;
    }
    out.resize(static_cast<size_t>(size));
    return out;
}

const char * rope_type_name(llama_rope_type type) {
    switch (type) {
    case LLAMA_ROPE_TYPE_NONE:
        return "none";
    case LLAMA_ROPE_TYPE_NORM:
        return "norm";
    case LLAMA_ROPE_TYPE_NEOX:
        return "neox";
    case LLAMA_ROPE_TYPE_MROPE:
        return "mrope";
    case LLAMA_ROPE_TYPE_IMROPE:
        return "imrope";
    case LLAMA_ROPE_TYPE_VISION:
        return "vision";
    }
    return "unknown";
}

std::vector<std::string> class_labels(const llama_model * model) {
    std::vector<std::string> out;
    for (uint32_t i = 0; i < llama_model_n_cls_out(model); ++i) {
        const char * label = llama_model_cls_label(model, i);
        out.emplace_back(label != nullptr ? label : "");
    }
    return out;
}

ModelFacts facts_of(const llama_model * model, bool vocab_only) {
    ModelFacts facts{};
    facts.description = read_string([model](char * buffer, size_t size) {
                            return llama_model_desc(model, buffer, size);
                        }).value_or("");
    facts.file_type = llama_ftype_name(llama_model_ftype(model));
    facts.rope_type = rope_type_name(llama_model_rope_type(model));
    facts.n_params = llama_model_n_params(model);
    facts.size = llama_model_size(model);
    facts.decoder_start_token = llama_model_decoder_start_token(model);
    facts.has_encoder = llama_model_has_encoder(model);
    facts.has_decoder = llama_model_has_decoder(model);
    facts.is_recurrent = llama_model_is_recurrent(model);
    facts.is_hybrid = llama_model_is_hybrid(model);
    facts.is_diffusion = llama_model_is_diffusion(model);
    if (vocab_only) {
        return facts; // llama.cpp reads no hyperparameters then
    }
    facts.n_ctx_train = llama_model_n_ctx_train(model);
    facts.n_embd = llama_model_n_embd(model);
    facts.n_embd_out = llama_model_n_embd_out(model);
    facts.n_layer = llama_model_n_layer(model);
    facts.n_head = llama_model_n_head(model);
    facts.n_head_kv = llama_model_n_head_kv(model);
    facts.n_swa = llama_model_n_swa(model);
    facts.class_labels = class_labels(model);
    facts.rope_freq_scale_train = llama_model_rope_freq_scale_train(model);
    return facts;
}

} // namespace

void Model::Free::operator()(llama_model * model) const {
    llama_model_free(model);
}

Model::Model(std::unique_ptr<llama_model, Free> model, const ModelParams & params)
    : model_(std::move(model)), path_(params.path), vocab_only_(params.vocab_only),
      vocab_(llama_model_get_vocab(model_.get())),
      facts_(facts_of(model_.get(), params.vocab_only)) {}

std::shared_ptr<Model> Model::load(const ModelParams & params,
                                   const std::shared_ptr<LoadProgress> & progress) {
    check_readable(params.path);
    llama_model_params native = llama_model_default_params();
    native.vocab_only = params.vocab_only;
    native.load_mode = load_mode(params);
    native.n_gpu_layers = params.n_gpu_layers;
    native.split_mode = split_mode(params.split_mode);
    native.main_gpu = params.main_gpu;
    native.check_tensors = params.check_tensors;
    std::vector<float> split;
    if (!params.tensor_split.empty()) {
        split = padded_split(params.tensor_split);
        native.tensor_split = split.data();
    }
    std::vector<ggml_backend_dev_t> devices;
    if (params.choose_devices) {
        devices = devices_by_name(params.devices);
        native.devices = devices.data();
    }
    const auto reported = progress != nullptr ? progress : std::make_shared<LoadProgress>();
    native.progress_callback = on_progress;
    native.progress_callback_user_data = reported.get();

    const AssertionsThrow guard;
    const NativeCall call;
    std::unique_ptr<llama_model, Free> model(
        llama_model_load_from_file(params.path.c_str(), native));
    if (reported->cancelled) {
        throw Error(Code::aborted, "loading " + params.path + " was cancelled");
    }
    if (model == nullptr) {
        throw call.failed(Code::model_load_failed, "cannot load " + params.path);
    }
    reported->value = 1.0f;
    return std::shared_ptr<Model>(new Model(std::move(model), params));
}

std::map<std::string, std::string> Model::metadata() const {
    std::map<std::string, std::string> out;
    for (int32_t i = 0; i < llama_model_meta_count(raw()); ++i) {
        auto key = read_string([this, i](char * buffer, size_t size) {
            return llama_model_meta_key_by_index(raw(), i, buffer, size);
        });
        auto value = read_string([this, i](char * buffer, size_t size) {
            return llama_model_meta_val_str_by_index(raw(), i, buffer, size);
        });
        if (key && value) {
            out.emplace(std::move(*key), std::move(*value));
        }
    }
    return out;
}

std::optional<std::string> Model::metadata_value(const std::string & key) const {
    return read_string([this, &key](char * buffer, size_t size) {
        return llama_model_meta_val_str(raw(), key.c_str(), buffer, size);
    });
}

std::optional<std::string> Model::chat_template(const std::string & name) const {
    const char * source = llama_model_chat_template(raw(), name.empty() ? nullptr : name.c_str());
    return source != nullptr ? std::optional<std::string>(source) : std::nullopt;
}

std::shared_ptr<Adapter> Adapter::load(std::shared_ptr<Model> model, const std::string & path) {
    if (model->vocab_only()) {
        throw Error(Code::invalid_request, "a model loaded with vocab_only takes no adapters");
    }
    check_readable(path);
    const std::lock_guard<std::mutex> lock(model->adapters_);
    const AssertionsThrow guard;
    const NativeCall call;
    llama_adapter_lora * adapter = llama_adapter_lora_init(model->raw(), path.c_str());
    if (adapter == nullptr) {
        throw call.failed(Code::model_load_failed, "cannot load the adapter " + path);
    }
    return std::shared_ptr<Adapter>(new Adapter(std::move(model), adapter));
}

Adapter::Adapter(std::shared_ptr<Model> model, llama_adapter_lora * adapter)
    : model_(std::move(model)), adapter_(adapter) {}

Adapter::~Adapter() {
    const std::lock_guard<std::mutex> lock(model_->adapters_);
    llama_adapter_lora_free(adapter_);
}

std::map<std::string, std::string> Adapter::metadata() const {
    std::map<std::string, std::string> out;
    for (int32_t i = 0; i < llama_adapter_meta_count(adapter_); ++i) {
        auto key = read_string([this, i](char * buffer, size_t size) {
            return llama_adapter_meta_key_by_index(adapter_, i, buffer, size);
        });
        auto value = read_string([this, i](char * buffer, size_t size) {
            return llama_adapter_meta_val_str_by_index(adapter_, i, buffer, size);
        });
        if (key && value) {
            out.emplace(std::move(*key), std::move(*value));
        }
    }
    return out;
}

std::vector<int32_t> Adapter::invocation_tokens() const {
    const llama_token * tokens = llama_adapter_get_alora_invocation_tokens(adapter_);
    const size_t count = llama_adapter_get_alora_n_invocation_tokens(adapter_);
    return std::vector<int32_t>(tokens, tokens + count);
}

} // namespace pyollama
