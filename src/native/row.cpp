#include "row.hpp"

#include "kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>

namespace pyollama {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
// A mask that leaves less than one token in so many is read token by token.
constexpr size_t few = 16;
// How finely the logits are told apart where the likeliest are counted out.
constexpr int32_t intervals = 4096;

} // namespace

// --- reading ------------------------------------------------------------------------------------

void Row::read(const float * values, size_t size) {
    values_ = values;
    ids_ = nullptr;
    size_ = size;
    find_maxima();
}

void Row::read_masked(const float * values, const uint32_t * mask, size_t size) {
    if (read_few(values, mask, size)) {
        return;
    }
    copied_values_.resize(size);
    maxima_.resize(kernel_blocks(size));
    values_ = copied_values_.data();
    ids_ = nullptr;
    size_ = size;
    finish(kernels().masked_copy(values, mask, size, copied_values_.data(), maxima_.data()));
}

void Row::read_some(const std::vector<Candidate> & candidates) {
    copied_ids_.clear();
    copied_values_.clear();
    for (const Candidate & candidate : candidates) {
        copied_ids_.push_back(candidate.id);
        copied_values_.push_back(candidate.logit);
    }
    values_ = copied_values_.data();
    ids_ = copied_ids_.data();
    size_ = copied_ids_.size();
    find_maxima();
}

// False, and nothing done, where the mask allows more than a few.
bool Row::read_few(const float * values, const uint32_t * mask, size_t size) {
    copied_ids_.clear();
    for (size_t begin = 0; begin < size; begin += 32) {
        uint32_t word = mask[begin / 32];
        if (size - begin < 32) {
            word &= (uint32_t{1} << (size - begin)) - 1;
        }
        for (; word != 0; word &= word - 1) {
            copied_ids_.push_back(static_cast<int32_t>(begin) + std::countr_zero(word));
        }
        if (copied_ids_.size() > size / few) {
            return false;
        }
    }
    copied_values_.clear();
    for (const int32_t token : copied_ids_) {
        copied_values_.push_back(values[token]);
    }
    values_ = copied_values_.data();
    ids_ = copied_ids_.data();
    size_ = copied_ids_.size();
    find_maxima();
    return true;
}

void Row::find_maxima() {
    maxima_.resize(kernel_blocks(size_));
    finish(kernels().block_maxima(values_, size_, maxima_.data()));
}

void Row::finish(bool finite) {
    if (!finite) {
        throw Error(Code::native_error, "the model computed logits that are not finite numbers");
    }
    const auto largest = std::max_element(maxima_.begin(), maxima_.end());
    highest_ = largest == maxima_.end() ? -infinity : *largest;
}

// --- large values -------------------------------------------------------------------------------

int32_t Row::best() const {
    if (empty()) {
        no_token_left();
    }
    const auto block = std::find(maxima_.begin(), maxima_.end(), highest_) - maxima_.begin();
    const float * begin = values_ + static_cast<size_t>(block) * kernel_block;
    return id(static_cast<size_t>(std::find(begin, values_ + size_, highest_) - values_));
}

void Row::best(size_t count, std::vector<Candidate> & out) {
    out.clear();
    if (count == 0) {
        return;
    }
    float floor = -infinity;
    if (count < maxima_.size()) {
        // this many values at least are as large as the smallest of this many maxima
        const auto last = static_cast<std::ptrdiff_t>(count) - 1;
        order_ = maxima_;
        std::nth_element(order_.begin(), order_.begin() + last, order_.end(), std::greater<>());
        floor = order_[count - 1];
    }
    at_least(floor, out);
    if (out.size() > count) {
        const auto end = out.begin() + static_cast<std::ptrdiff_t>(count);
        std::nth_element(out.begin(), end - 1, out.end(), better);
        out.erase(end, out.end());
    }
    std::sort(out.begin(), out.end(), better);
}

void Row::at_least(float floor, std::vector<Candidate> & out) const {
    out.clear();
    floor = std::max(floor, std::numeric_limits<float>::lowest());
    for (size_t block = 0; block < maxima_.size(); ++block) {
        if (maxima_[block] >= floor) {
            append(block, floor, out);
        }
    }
}

void Row::append(size_t block, float floor, std::vector<Candidate> & out) const {
    const size_t begin = block * kernel_block;
    const size_t end = std::min(size_, begin + kernel_block);
    Candidate found[kernel_block];
    size_t count = 0;
    for (size_t i = begin; i < end; ++i) {
        found[count] = {id(i), values_[i]};
        count += values_[i] >= floor ? 1 : 0;
    }
    out.insert(out.end(), found, found + count);
}

// --- sums ---------------------------------------------------------------------------------------

double Row::deviation() const {
    const Moments moments = kernels().moments(values_, size_, highest_);
    const double mean = moments.sum / moments.count;
    return std::sqrt(std::max(0.0, moments.squares / moments.count - mean * mean));
}

double Row::total(float scale, float floor) {
    sums_.assign(maxima_.size(), 0.0);
    const auto counts = [floor](float largest) { return largest >= floor; };
    auto end = maxima_.begin();
    while (true) {
        const auto begin = std::find_if(end, maxima_.end(), counts);
        if (begin == maxima_.end()) {
            return std::accumulate(sums_.begin(), sums_.end(), 0.0);
        }
        end = std::find_if_not(begin, maxima_.end(), counts);
        const auto block = static_cast<size_t>(begin - maxima_.begin());
        const auto last = static_cast<size_t>(end - maxima_.begin());
        const size_t size = std::min(last * kernel_block, size_) - block * kernel_block;
        kernels().exponential_sums(values_ + block * kernel_block, size, highest_, scale, floor,
                                   sums_.data() + block);
    }
}

// Counting out by intervals of the logit takes two looks at each value; sorting would take many.
float Row::nucleus_floor(double p, float floor) {
    floor = std::max(floor, std::numeric_limits<float>::lowest());
    shares_.assign(intervals, 0.0);
    float weights[kernel_block];
    int32_t places[kernel_block];
    for (size_t block = 0; block < maxima_.size(); ++block) {
        const size_t size = find_intervals(block, floor, places);
        const float * values = values_ + block * kernel_block;
        kernels().exponentials(values, size, highest_, 1.0f, weights);
        for (size_t i = 0; i < size; ++i) {
            shares_[static_cast<size_t>(places[i])] += static_cast<double>(weights[i]);
        }
    }
    shares_.back() = 0.0; // what is below the floor
    double left = p * std::accumulate(shares_.begin(), shares_.end(), 0.0);
    int32_t last = 0;
    while (last + 2 < intervals && shares_[static_cast<size_t>(last)] < left) {
        left -= shares_[static_cast<size_t>(last++)];
    }
    order_.clear();
    for (size_t block = 0; block < maxima_.size(); ++block) {
        const size_t size = find_intervals(block, floor, places);
        const float * values = values_ + block * kernel_block;
        size_t count = 0;
        for (size_t i = 0; i < size; ++i) {
            weights[count] = values[i];
            count += places[i] == last ? 1 : 0;
        }
        order_.insert(order_.end(), weights, weights + count);
    }
    std::sort(order_.begin(), order_.end(), std::greater<>());
    for (const float value : order_) {
        left -= static_cast<double>(std::exp(value - highest_));
        if (left <= 0.0) {
            return value;
        }
    }
    return order_.empty() ? floor : order_.back();
}

// In which interval of the logit each value of a block lies; the last one is for those below
// `floor`. Returns how many values there are.
size_t Row::find_intervals(size_t block, float floor, int32_t * places) const {
    constexpr float per_logit = 256.0f;
    const float * values = values_ + block * kernel_block;
    const size_t size = std::min(size_ - block * kernel_block, kernel_block);
    for (size_t i = 0; i < size; ++i) {
        const float distance = (highest_ - values[i]) * per_logit;
        const float place = distance < intervals - 2 ? distance : intervals - 2;
        places[i] = values[i] >= floor ? static_cast<int32_t>(place) : intervals - 1;
    }
    return size;
}

int32_t Row::pick(double fraction, float scale, float floor) {
    const double all = total(scale, floor);
    if (!(all > 0.0)) {
        no_token_left();
    }
    const double target = fraction * all;
    double running = 0.0;
    size_t chosen = 0;
    for (size_t block = 0; block < sums_.size(); ++block) {
        if (sums_[block] > 0.0) {
            chosen = block;
            running += sums_[block];
            if (running >= target) {
                break;
            }
        }
    }
    running -= sums_[chosen];
    const float * values = values_ + chosen * kernel_block;
    const size_t size = std::min(size_ - chosen * kernel_block, kernel_block);
    float weights[kernel_block];
    kernels().exponentials(values, size, highest_, scale, weights);
    size_t last = 0;
    for (size_t i = 0; i < size; ++i) {
        if (weights[i] > 0.0f && values[i] >= floor) {
            last = i;
            running += static_cast<double>(weights[i]);
            if (running >= target) {
                break;
            }
        }
    }
    return id(chosen * kernel_block + last);
}

double log_total(Row & row) {
    return static_cast<double>(row.highest()) + std::log(row.total(1.0f, -infinity));
}

} // namespace pyollama
