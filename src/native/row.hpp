// One row of logits, and where its large values are.
#pragma once

#include "error.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace pyollama {

// What reading out of nothing comes to.
[[noreturn]] inline void no_token_left() {
    throw Error(Code::native_error, "no token is left to choose from");
}

struct Candidate {
    int32_t id;
    float logit;
};

// The order of a sorted list: largest logit first, the smaller id first among equals.
inline bool better(const Candidate & a, const Candidate & b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// Reading a row finds the largest value of each block of it. That answers most questions with a
// close look at few blocks, without a list of all candidates and without sorting them. Values of
// minus infinity are no candidates. The memory is kept for the next row.
class Row {
  public:
    // Each of these throws where a value is no number or plus infinity. `values` must stay.
    void read(const float * values, size_t size);
    // The lowest bit of a word of the mask comes first.
    void read_masked(const float * values, const uint32_t * mask, size_t size);
    // Only these; ids ascending.
    void read_some(const std::vector<Candidate> & candidates);

    bool empty() const { return !(highest_ > -std::numeric_limits<float>::infinity()); }
    float highest() const { return highest_; }
    // Throws where the row is empty.
    int32_t best() const;
    // The best `count`, sorted.
    void best(size_t count, std::vector<Candidate> & out);
    // All that are not below `floor`, by id.
    void at_least(float floor, std::vector<Candidate> & out) const;
    // The standard deviation of the logits.
    double deviation() const;
    // The sum of exp((logit - highest) * scale) over the candidates not below `floor`.
    double total(float scale, float floor);
    // The smallest logit among the likeliest candidates that make up the share `p` of the sum of
    // exp(logit) over all that are not below `floor`.
    float nucleus_floor(double p, float floor);
    // The candidate where the running sum of the weights of total(), by id, reaches a fraction of
    // it. Throws where all are below `floor`.
    int32_t pick(double fraction, float scale, float floor);

  private:
    int32_t id(size_t index) const {
        return ids_ == nullptr ? static_cast<int32_t>(index) : ids_[index];
    }
    void find_maxima();
    void finish(bool finite);
    bool read_few(const float * values, const uint32_t * mask, size_t size);
    size_t find_intervals(size_t block, float floor, int32_t * places) const;
    void append(size_t block, float floor, std::vector<Candidate> & out) const;

    const float * values_ = nullptr;
    const int32_t * ids_ = nullptr; // null: a value's place is its id
    size_t size_ = 0;
    float highest_ = 0.0f;
    std::vector<float> maxima_;
    std::vector<float> order_; // of some values
    std::vector<double> sums_;
    std::vector<double> shares_; // of each interval
    std::vector<float> copied_values_;
    std::vector<int32_t> copied_ids_;
};

// The logarithm of the sum of the exponentials of a row that was read.
double log_total(Row & row);

} // namespace pyollama
