#include "memory.hpp"

#include "error.hpp"

#include "llama.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace pyollama {

namespace {

constexpr int32_t open_end = std::numeric_limits<int32_t>::max();

int32_t end_of(int32_t p1) {
    return p1 < 0 ? open_end : p1;
}

} // namespace

Memory::Memory(llama_context * context, const MemoryFacts & facts)
    : context_(context), facts_(facts), n_seq_(static_cast<int32_t>(llama_n_seq_max(context))),
      pending_(static_cast<size_t>(n_seq_), 0),
      shared_(static_cast<size_t>(n_seq_) * static_cast<size_t>(n_seq_), 0) {}

void Memory::check(int32_t seq) const {
    if (seq < 0 || seq >= n_seq_) {
        throw Error(Code::invalid_request, "sequence " + std::to_string(seq) +
                                               " does not exist: the context has " +
                                               std::to_string(n_seq_));
    }
}

bool Memory::remove(int32_t seq, int32_t p0, int32_t p1) {
    check(seq);
    if (p0 >= end_of(p1)) {
        return true;
    }
    const bool whole = p0 <= 0 && end_of(p1) > last(seq);
    if (facts_.recurrent && !whole && p0 <= last(seq)) {
        return false; // llama.cpp says yes to the removal of a beginning, and keeps it
    }
    const bool done =
        llama_memory_seq_rm(llama_get_memory(context_), seq, whole ? -1 : p0, whole ? -1 : p1);
    if (done) {
        note_removal(seq, whole ? 0 : p0, whole ? open_end : end_of(p1));
    }
    return done;
}

void Memory::copy(int32_t from, int32_t to, int32_t p0, int32_t p1) {
    check(from);
    check(to);
    const int32_t begin = std::max(p0, first(from));
    const int32_t end = std::min(end_of(p1), last(from) + 1);
    const bool whole = p0 <= 0 && end_of(p1) > last(from);
    if (from == to || (begin >= end && !facts_.recurrent)) {
        return;
    }
    if (!whole && facts_.recurrent) {
        throw Error(Code::invalid_request, "a recurrent state can only be copied as a whole");
    }
    if (!whole && !facts_.unified) {
        throw Error(Code::invalid_request,
                    "without kv_unified a sequence can only be copied as a whole");
    }
    const bool overlap = begin <= last(to) && end > first(to);
    if (last(to) >= 0 && (overlap || facts_.recurrent || !facts_.unified)) {
        throw Error(Code::invalid_request, "sequence " + std::to_string(to) +
                                               " is not empty there; remove what it holds first");
    }
    llama_memory_seq_cp(llama_get_memory(context_), from, to, whole ? -1 : p0, whole ? -1 : p1);
    if (facts_.unified) {
        note_copy(from, to, begin, end);
    } else {
        pending_[static_cast<size_t>(from)] = 1;
        pending_[static_cast<size_t>(to)] = 1;
    }
}

void Memory::keep(int32_t seq) {
    check(seq);
    // llama.cpp's own call looks at the cells of one stream only
    for (int32_t other = 0; other < n_seq_; ++other) {
        if (other != seq) {
            remove(other, -1, -1);
        }
    }
}

void Memory::shift(int32_t seq, int32_t p0, int32_t p1, int32_t delta) {
    check(seq);
    if (!facts_.can_shift) {
        throw Error(Code::invalid_request, "the memory of this model cannot shift positions");
    }
    if (delta == 0 || last(seq) < std::max(p0, 0) || p0 >= end_of(p1)) {
        return;
    }
    if (std::max(p0, first(seq)) + static_cast<int64_t>(delta) < 0 ||
        last(seq) + static_cast<int64_t>(delta) >= open_end) {
        throw Error(Code::invalid_request, "the shift would leave the range of positions");
    }
    if (shares_from(seq, p0)) {
        separate(seq);
    }
    llama_memory_seq_add(llama_get_memory(context_), seq, p0, p1, delta);
    pending_[static_cast<size_t>(seq)] = 1;
}

void Memory::divide(int32_t seq, int32_t p0, int32_t p1, int32_t divisor) {
    check(seq);
    if (!facts_.can_shift) {
        throw Error(Code::invalid_request, "the memory of this model cannot shift positions");
    }
    if (divisor < 1) {
        throw Error(Code::invalid_request, "the divisor must be at least 1");
    }
    if (divisor == 1 || p0 >= end_of(p1)) {
        return;
    }
    if (shares_from(seq, p0)) {
        separate(seq);
    }
    llama_memory_seq_div(llama_get_memory(context_), seq, p0, p1, divisor);
    pending_[static_cast<size_t>(seq)] = 1;
}

int32_t Memory::first(int32_t seq) const {
    check(seq);
    return llama_memory_seq_pos_min(llama_get_memory(context_), seq);
}

int32_t Memory::last(int32_t seq) const {
    check(seq);
    return llama_memory_seq_pos_max(llama_get_memory(context_), seq);
}

void Memory::clear(bool data) {
    llama_memory_clear(llama_get_memory(context_), data);
    std::fill(shared_.begin(), shared_.end(), 0);
    batch_done();
}

void Memory::batch_done() {
    std::fill(pending_.begin(), pending_.end(), char{0});
}

// --- states -------------------------------------------------------------------------------------
// llama.cpp believes what a state says about its cells, so a damaged one could leave cells behind
// that belong nowhere. What is saved here therefore carries a checksum, and is looked at by
// llama.cpp only if that fits. Layout: StateHeader, the tokens, llama.cpp's own bytes.

namespace {

constexpr std::array<char, 8> state_magic = {'p', 'y', 'o', 'l', 'l', 'a', 'm', '1'};

struct StateHeader {
    std::array<char, 8> magic;
    uint64_t checksum; // of everything behind the header
    uint64_t token_count;
    uint64_t native_size;
};

// Fast rather than strong: it finds damage, not forgery.
uint64_t checksum_of(const uint8_t * data, size_t size) {
    constexpr uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t sum = size * odd;
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        std::memcpy(&word, data + i, std::min(sizeof(word), size - i));
        sum = (sum ^ word) * odd;
        sum ^= sum >> 29;
    }
    return sum;
}

struct State {
    const int32_t * tokens; // may be unaligned; to be copied only
    size_t token_count;
    const uint8_t * native;
    size_t native_size;
};

State open_state(const uint8_t * data, size_t size) {
    StateHeader header{};
    const Error damaged(Code::native_error, "the state is damaged, or is not one");
    if (size < sizeof(header)) {
        throw damaged;
    }
    std::memcpy(&header, data, sizeof(header));
    const uint8_t * body = data + sizeof(header);
    const size_t body_size = size - sizeof(header);
    const uint64_t most_tokens = body_size / sizeof(int32_t);
    if (header.magic != state_magic || header.token_count > most_tokens ||
        header.native_size != body_size - header.token_count * sizeof(int32_t) ||
        header.checksum != checksum_of(body, body_size)) {
        throw damaged;
    }
    const size_t token_bytes = header.token_count * sizeof(int32_t);
    return {reinterpret_cast<const int32_t *>(body), header.token_count, body + token_bytes,
            header.native_size};
}

} // namespace

size_t Memory::state_size(int32_t seq, size_t token_count) const {
    check(seq);
    check_settled(seq);
    return sizeof(StateHeader) + token_count * sizeof(int32_t) +
           llama_state_seq_get_size(context_, seq);
}

void Memory::save(int32_t seq, const int32_t * tokens, size_t token_count, uint8_t * out,
                  size_t size) const {
    const size_t token_bytes = token_count * sizeof(int32_t);
    if (size != state_size(seq, token_count)) {
        throw Error(Code::native_error, "the sequence changed while its state was saved");
    }
    uint8_t * body = out + sizeof(StateHeader);
    const size_t native_size = size - sizeof(StateHeader) - token_bytes;
    if (token_count > 0) {
        std::memcpy(body, tokens, token_bytes);
    }
    const NativeCall call;
    if (llama_state_seq_get_data(context_, body + token_bytes, native_size, seq) != native_size) {
        throw call.failed(Code::native_error, "cannot save the state of a sequence");
    }
    const StateHeader header{state_magic, checksum_of(body, token_bytes + native_size), token_count,
                             native_size};
    std::memcpy(out, &header, sizeof(header));
}

std::vector<int32_t> Memory::restore(int32_t seq, const uint8_t * data, size_t size) {
    check(seq);
    check_settled(seq);
    const State state = open_state(data, size);
    std::vector<int32_t> tokens(state.token_count);
    if (!tokens.empty()) {
        std::memcpy(tokens.data(), state.tokens, tokens.size() * sizeof(int32_t));
    }
    remove(seq, -1, -1);
    const AssertionsThrow guard;
    const NativeCall call;
    size_t used = 0;
    try {
        used = llama_state_seq_set_data(context_, state.native, state.native_size, seq);
    } catch (...) {
        remove(seq, -1, -1);
        throw;
    }
    if (used == 0) {
        remove(seq, -1, -1);
        throw call.failed(Code::native_error, "the state does not fit this context");
    }
    return tokens;
}

// --- shared cells -------------------------------------------------------------------------------
// After a copy within one pool, both sequences own the same cells, and a cell has one position. The
// table is an upper bound: it never forgets sharing that is there.

int32_t & Memory::shared_end(int32_t a, int32_t b) {
    return shared_[static_cast<size_t>(a) * static_cast<size_t>(n_seq_) + static_cast<size_t>(b)];
}

void Memory::note_copy(int32_t from, int32_t to, int32_t p0, int32_t p1) {
    for (int32_t other = 0; other < n_seq_; ++other) {
        const int32_t theirs = other == from ? p1 : std::min(shared_end(from, other), p1);
        if (other != to && theirs > p0) {
            const int32_t end = std::max(shared_end(to, other), theirs);
            shared_end(to, other) = end;
            shared_end(other, to) = end;
        }
    }
}

void Memory::note_removal(int32_t seq, int32_t p0, int32_t p1) {
    for (int32_t other = 0; other < n_seq_; ++other) {
        const int32_t end = shared_end(seq, other);
        if (p1 >= end) {
            const int32_t left = std::min(end, std::max(p0, 0));
            shared_end(seq, other) = left;
            shared_end(other, seq) = left;
        }
    }
}

bool Memory::shares_from(int32_t seq, int32_t p0) {
    for (int32_t other = 0; other < n_seq_; ++other) {
        if (shared_end(seq, other) > std::max(p0, 0)) {
            return true;
        }
    }
    return false;
}

// Gives a sequence cells of its own: its state is taken out and put back. There is room for that if
// all sequences fit without sharing anything, which is looked at before anything is touched.
void Memory::separate(int32_t seq) {
    check_settled(seq);
    int64_t needed = 0;
    for (int32_t other = 0; other < n_seq_; ++other) {
        needed += last(other) < 0 ? 0 : last(other) - first(other) + 1;
    }
    if (needed > llama_n_ctx(context_)) {
        throw Error(Code::out_of_cells, "sequence " + std::to_string(seq) +
                                            " shares cells, and there is no room to give it its "
                                            "own before it is moved");
    }
    const NativeCall call;
    std::vector<uint8_t> state(llama_state_seq_get_size(context_, seq));
    if (llama_state_seq_get_data(context_, state.data(), state.size(), seq) != state.size()) {
        throw call.failed(Code::native_error, "cannot save the state of a sequence");
    }
    remove(seq, -1, -1);
    if (llama_state_seq_set_data(context_, state.data(), state.size(), seq) == 0) {
        remove(seq, -1, -1);
        throw call.failed(Code::native_error, "cannot give a sequence cells of its own");
    }
}

// The state of a sequence is written without moves and copies that are still to be made.
void Memory::check_settled(int32_t seq) const {
    if (!facts_.present) {
        throw Error(Code::invalid_request, "this model keeps no state of a sequence");
    }
    if (pending_[static_cast<size_t>(seq)] != 0) {
        throw Error(Code::invalid_request,
                    "positions were moved or a sequence was copied: decode a batch before saving "
                    "or restoring a state");
    }
}

} // namespace pyollama
