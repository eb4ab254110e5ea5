// The working state of a model: cache, compute graph, outputs of the last batch.
#pragma once

#include "context_params.hpp"
#include "memory.hpp"
#include "model.hpp"
#include "workers.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct llama_context;

namespace pyollama {

class Sampler;
struct Scratch;

// One entry per token; the arrays belong to the caller.
struct Batch {
    const int32_t * tokens;
    const int32_t * positions;
    const int32_t * seq_ids;
    const int8_t * outputs;
    size_t size;
};

struct TokenLogprobs {
    float chosen;
    std::vector<int32_t> top_ids;
    std::vector<float> top_logprobs;
};

struct MemoryUse {
    uint64_t model, context, compute;
};

struct Perf {
    double prompt_ms, eval_ms;
    int32_t prompt_tokens, eval_tokens, graphs_reused;
};

class Context {
  public:
    Context(std::shared_ptr<Model> model, const ContextParams & params);
    ~Context();
    Context(const Context &) = delete;
    Context & operator=(const Context &) = delete;

    const Model & model() const { return *model_; }
    uint32_t n_ctx() const;
    uint32_t n_ctx_seq() const;
    uint32_t n_batch() const;
    uint32_t n_ubatch() const;
    uint32_t n_seq_max() const;
    int32_t n_threads() const;
    int32_t n_threads_batch() const;
    std::string pooling() const;
    bool causal() const;

    // Both return the number of output rows.
    size_t decode(const Batch & batch);
    size_t encode(const Batch & batch);
    size_t n_outputs() const { return n_outputs_; }

    // Copies out rows of the last batch. `count` rows of `width` floats go to `out`.
    size_t logits_width() const;
    void copy_logits(const int32_t * rows, size_t count, float * out);
    size_t embedding_width() const;
    void copy_embeddings(const int32_t * rows, size_t count, float * out);
    std::vector<float> sequence_embedding(int32_t seq);

    // Words of a mask: a bit for each token of the vocabulary, the lowest bit of a word first.
    size_t mask_words() const { return (logits_width() + 31) / 32; }

    // Chooses a token for each row with the sampler beside it, and lets the sampler accept it.
    // `masks` (null: none) has mask_words() for each row; only tokens whose bit is set are chosen.
    void sample(const int32_t * rows, const std::vector<std::shared_ptr<Sampler>> & samplers,
                const uint32_t * masks, int32_t * out);
    // Samples the rows of one sequence one after another, as long as the choice is the token that
    // the next row was computed with: rows[i + 1] is the row of drafts[i]. Returns how many tokens
    // were sampled; there is room for all of them in `out`.
    size_t verify(const int32_t * rows, const int32_t * drafts, size_t n_drafts, Sampler & sampler,
                  const uint32_t * masks, int32_t * out);
    TokenLogprobs logprobs(int32_t row, int32_t token, int32_t n_top);
    // Log-softmax of the raw logits of each row at the token beside it.
    void token_logprobs(const int32_t * rows, const int32_t * tokens, size_t count, float * out);

    // The sequences in memory, see Memory; each call holds the context, as decode() does.
    const MemoryFacts & memory_facts() const { return memory_.facts(); }
    bool seq_rm(int32_t seq, int32_t p0, int32_t p1);
    void seq_cp(int32_t from, int32_t to, int32_t p0, int32_t p1);
    void seq_keep(int32_t seq);
    void seq_add(int32_t seq, int32_t p0, int32_t p1, int32_t delta);
    void seq_div(int32_t seq, int32_t p0, int32_t p1, int32_t divisor);
    int32_t seq_pos_min(int32_t seq);
    int32_t seq_pos_max(int32_t seq);
    void clear(bool data);
    size_t state_size(int32_t seq, size_t token_count);
    void save_state(int32_t seq, const int32_t * tokens, size_t token_count, uint8_t * out,
                    size_t size);
    std::vector<int32_t> restore_state(int32_t seq, const uint8_t * data, size_t size);

    void set_threads(int32_t n_threads, int32_t n_threads_batch);
    void set_causal(bool causal);
    void set_embeddings(bool embeddings);
    void set_adapters(std::vector<std::shared_ptr<Adapter>> adapters, std::vector<float> scales);
    void synchronize();

    // These two may be called from any thread, at any time.
    void abort() { aborted_.store(true); }
    void clear_abort() { aborted_.store(false); }

    // Bytes by buffer type.
    std::map<std::string, MemoryUse> memory_breakdown();
    Perf perf() const;
    void reset_perf();

  private:
    struct Free {
        void operator()(llama_context * context) const;
    };

    void check_batch(const Batch & batch, bool encode);
    void check_positions(const Batch & batch);
    void fill_native_batch(const Batch & batch, bool encode);
    size_t run(const Batch & batch, bool encode);
    float * logits();
    const float * row_of(const float * data, size_t width, int32_t row) const;
    float * row_for(const Sampler & sampler, size_t index, int32_t row);
    void for_each_row(size_t count, bool parallel,
                      const std::function<void(size_t index, Scratch & scratch)> & task);

    std::shared_ptr<Model> model_;
    std::vector<std::shared_ptr<Adapter>> adapters_; // outlive context_, which refers to them
    std::atomic<bool> aborted_{false};
    std::atomic<bool> busy_{false};
    std::unique_ptr<llama_context, Free> context_;
    Memory memory_;
    bool embeddings_;
    bool encoded_ = false; // an encoder's output is there for the decoder to look at
    size_t n_outputs_ = 0;
    bool has_logits_ = false; // of the last batch
    Workers workers_;
    std::vector<Scratch> scratch_; // one for each thread

    // reused by every batch
    std::vector<int32_t> seq_counts_;
    std::vector<int32_t *> seq_pointers_;
    std::vector<int8_t> outputs_;
    std::vector<int32_t> next_positions_;
};

} // namespace pyollama
