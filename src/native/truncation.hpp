// The steps that leave fewer candidates to draw from. They decide as llama.cpp's do.
#pragma once

#include "row.hpp"

#include <cstddef>
#include <random>
#include <vector>

namespace pyollama {

// What is left of a row. No step takes the last candidate away; all throw where there is none.
class Candidates {
  public:
    // Best first where `sorted`; otherwise drawn from in the order of the list.
    std::vector<Candidate> list;
    bool sorted = false;

    size_t size() const { return list.size(); }
    float highest() const;
    void sort();

    // Keeps the likeliest whose probabilities reach `p`, but at least `min_keep`. `total` is the
    // sum of exp(logit - highest) over all that the probabilities refer to.
    void keep_top_p(double p, size_t min_keep, double total);
    // Keeps those at least `p` times as likely as the best one, but at least `min_keep` and the
    // best one, which a `p` above 1 demands too much of.
    void keep_min_p(float p, size_t min_keep);
    // Keeps those whose surprise is nearest to the mean one, until their probabilities exceed `p`.
    void keep_typical(double p, size_t min_keep);
    // Drops all that are at least as likely as `threshold`, except the least likely of them.
    void drop_top(double threshold, size_t min_keep);

    // The sum of exp((logit - highest) * scale).
    double total(float scale) const;
    // The candidate where the running sum of the same reaches a fraction of it.
    int32_t pick(double fraction, float scale) const;
};

} // namespace pyollama
