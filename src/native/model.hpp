// One loaded GGUF file: weights, vocabulary, metadata. Immutable once loaded, so shared by threads.
#pragma once

#include "vocab.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

struct llama_adapter_lora;
struct llama_model;

namespace pyollama {

// Written by the loading thread, read and cancelled by any other.
struct LoadProgress {
    std::atomic<float> value{0.0f};
    std::atomic<bool> cancelled{false};
};

struct ModelParams {
    std::string path;
    bool vocab_only = false;
    int use_mmap = -1; // -1: llama.cpp decides
    bool use_mlock = false;
    int32_t n_gpu_layers = -1;
    std::string split_mode = "layer";
    int32_t main_gpu = 0;
    std::vector<float> tensor_split;
    bool choose_devices = false; // whether `devices` counts
    std::vector<std::string> devices;
    bool check_tensors = false;
};

struct ModelFacts {
    std::string description;
    std::string file_type;
    std::string rope_type;
    uint64_t n_params;
    uint64_t size;
    int32_t n_ctx_train, n_embd, n_embd_out, n_layer, n_head, n_head_kv, n_swa;
    std::vector<std::string> class_labels; // one per classifier output
    float rope_freq_scale_train;
    bool has_encoder, has_decoder, is_recurrent, is_hybrid, is_diffusion;
    int32_t decoder_start_token;
};

class Model {
  public:
    static std::shared_ptr<Model> load(const ModelParams & params,
                                       const std::shared_ptr<LoadProgress> & progress);

    const std::string & path() const { return path_; }
    bool vocab_only() const { return vocab_only_; }
    const Vocab & vocab() const { return vocab_; }
    const ModelFacts & facts() const { return facts_; }

    std::map<std::string, std::string> metadata() const;
    std::optional<std::string> metadata_value(const std::string & key) const;
    // The Jinja source stored in the file; an empty name means the default one.
    std::optional<std::string> chat_template(const std::string & name) const;

    llama_model * raw() const { return model_.get(); }

  private:
    friend class Adapter;

    struct Free {
        void operator()(llama_model * model) const;
    };

    Model(std::unique_ptr<llama_model, Free> model, const ModelParams & params);

    std::unique_ptr<llama_model, Free> model_;
    std::string path_;
    bool vocab_only_;
    Vocab vocab_;
    ModelFacts facts_;
    std::mutex adapters_; // llama.cpp keeps a list of them in the model
};

// A LoRA adapter. Keeps its model alive.
class Adapter {
  public:
    static std::shared_ptr<Adapter> load(std::shared_ptr<Model> model, const std::string & path);
    ~Adapter();
    Adapter(const Adapter &) = delete;
    Adapter & operator=(const Adapter &) = delete;

    const Model & model() const { return *model_; }
    std::map<std::string, std::string> metadata() const;
    std::vector<int32_t> invocation_tokens() const;

    llama_adapter_lora * raw() const { return adapter_; }

  private:
    Adapter(std::shared_ptr<Model> model, llama_adapter_lora * adapter);

    std::shared_ptr<Model> model_;
    llama_adapter_lora * adapter_;
};

} // namespace pyollama
