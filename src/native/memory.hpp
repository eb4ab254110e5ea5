// The sequences in a context's memory: KV cache, recurrent state or both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

struct llama_context;

namespace pyollama {

struct MemoryFacts {
    bool present;   // encoders such as BERT have none
    bool unified;   // all sequences share one pool of cells
    bool recurrent; // holds a state that can be neither cut nor copied in part
    bool swa_full;  // the whole past is kept, or there is no sliding window
    bool can_shift; // positions can be moved
};

// Ranges are [p0, p1); a negative end is open. Belongs to the context, which serialises its use.
class Memory {
  public:
    Memory(llama_context * context, const MemoryFacts & facts);

    const MemoryFacts & facts() const { return facts_; }

    bool remove(int32_t seq, int32_t p0, int32_t p1);
    void copy(int32_t from, int32_t to, int32_t p0, int32_t p1);
    void keep(int32_t seq);
    void shift(int32_t seq, int32_t p0, int32_t p1, int32_t delta);
    void divide(int32_t seq, int32_t p0, int32_t p1, int32_t divisor);
    int32_t first(int32_t seq) const;
    int32_t last(int32_t seq) const;
    void clear(bool data);

    // A state is what one sequence holds, together with the tokens it was computed from, if given.
    size_t state_size(int32_t seq, size_t token_count) const;
    void save(int32_t seq, const int32_t * tokens, size_t token_count, uint8_t * out,
              size_t size) const;
    // Replaces a sequence and gives back the tokens; a sequence that cannot be read is left empty.
    std::vector<int32_t> restore(int32_t seq, const uint8_t * data, size_t size);

    // Throws unless `seq` is a sequence of this context.
    void check(int32_t seq) const;

    // Moves and copies that llama.cpp puts off until the next batch have been carried out.
    void batch_done();

  private:
    int32_t & shared_end(int32_t a, int32_t b);
    void note_copy(int32_t from, int32_t to, int32_t p0, int32_t p1);
    void note_removal(int32_t seq, int32_t p0, int32_t p1);
    bool shares_from(int32_t seq, int32_t p0);
    void separate(int32_t seq);
    void check_settled(int32_t seq) const;

    llama_context * context_;
    MemoryFacts facts_;
    int32_t n_seq_;
    std::vector<char> pending_; // by sequence
    // Where two sequences may share cells: up to which position. A move of one would move the
    // other.
    std::vector<int32_t> shared_;
};

} // namespace pyollama
