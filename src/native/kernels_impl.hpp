// The body of kernels.hpp for vectors of PYOLLAMA_LANES floats. Each kernels_*.cpp includes it
// once, after telling the compiler which instructions the functions may use.

#include "kernels.hpp"
#include "vectors.hpp"

namespace pyollama {

namespace {

// A block of a row; the last one of a row is filled up with minus infinity.
class Block {
  public:
    const float * at(const float * values, size_t size, size_t begin) {
        if (size - begin >= kernel_block) {
            return values + begin;
        }
        for (size_t i = 0; i < kernel_block; ++i) {
            rest_[i] = begin + i < size ? values[begin + i] : minus_infinity;
        }
        return rest_;
    }

  private:
    float rest_[kernel_block];
};

bool block_maxima(const float * values, size_t size, float * maxima) {
    Block block;
    Flags wrong = {};
    for (size_t begin = 0; begin < size; begin += kernel_block) {
        const float * data = block.at(values, size, begin);
        Floats largest = load(data);
        wrong = wrong | not_finite_or_low(largest);
        for (size_t i = lanes; i < kernel_block; i += lanes) {
            const Floats value = load(data + i);
            wrong = wrong | not_finite_or_low(value);
            largest = larger(value, largest);
        }
        *maxima++ = fold(largest, Larger{});
    }
    return !any(wrong);
}

// Bit i in lane i.
inline Words lane_bits() {
#if PYOLLAMA_LANES > 1
    Words out = {};
    for (size_t i = 0; i < lanes; ++i) {
        out[i] = uint32_t{1} << i;
    }
    return out;
#else
    return 1;
#endif
}

bool masked_copy(const float * values, const uint32_t * mask, size_t size, float * out,
                 float * maxima) {
    Block block;
    Flags wrong = {};
    const Words bits = lane_bits();
    for (size_t begin = 0; begin < size; begin += kernel_block) {
        const float * data = block.at(values, size, begin);
        float copy[kernel_block];
        Floats largest = all(minus_infinity);
        for (size_t i = 0; i < kernel_block; i += lanes) {
            const Floats value = load(data + i);
            wrong = wrong | not_finite_or_low(value);
            // behind the end of the row there may be no mask
            const uint32_t word = begin + i < size ? mask[(begin + i) / 32] >> (i % 32) : 0;
            const Floats left = select(are_set(all_words(word) & bits), value, all(minus_infinity));
            store(left, copy + i);
            largest = larger(left, largest);
        }
        const size_t count = size - begin < kernel_block ? size - begin : kernel_block;
        __builtin_memcpy(out + begin, copy, count * sizeof(float));
        *maxima++ = fold(largest, Larger{});
    }
    return !any(wrong);
}

void exponentials(const float * values, size_t size, float shift, float scale, float * out) {
    Block block;
    for (size_t begin = 0; begin < size; begin += kernel_block) {
        const float * data = block.at(values, size, begin);
        float results[kernel_block];
        for (size_t i = 0; i < kernel_block; i += lanes) {
            store(exponential((load(data + i) - all(shift)) * all(scale)), results + i);
        }
        const size_t count = size - begin < kernel_block ? size - begin : kernel_block;
        __builtin_memcpy(out + begin, results, count * sizeof(float));
    }
}

void exponential_sums(const float * values, size_t size, float shift, float scale, float floor,
                      double * sums) {
    Block block;
    for (size_t begin = 0; begin < size; begin += kernel_block) {
        const float * data = block.at(values, size, begin);
        Floats sum = all(0.0f);
        for (size_t i = 0; i < kernel_block; i += lanes) {
            const Floats value = load(data + i);
            const Floats term = exponential((value - all(shift)) * all(scale));
            sum = sum + select(not_below(value, all(floor)), term, all(0.0f));
        }
        *sums++ = static_cast<double>(fold(sum, Sum{}));
    }
}

Moments moments(const float * values, size_t size, float shift) {
    Block block;
    Moments total = {0.0, 0.0, 0.0};
    for (size_t begin = 0; begin < size; begin += kernel_block) {
        const float * data = block.at(values, size, begin);
        Floats count = all(0.0f);
        Floats sum = all(0.0f);
        Floats squares = all(0.0f);
        for (size_t i = 0; i < kernel_block; i += lanes) {
            const Floats value = load(data + i);
            const Flags counts = ~not_below(all(minus_infinity), value);
            const Floats distance = select(counts, value - all(shift), all(0.0f));
            count = count + select(counts, all(1.0f), all(0.0f));
            sum = sum + distance;
            squares = squares + distance * distance;
        }
        total.count += static_cast<double>(fold(count, Sum{}));
        total.sum += static_cast<double>(fold(sum, Sum{}));
        total.squares += static_cast<double>(fold(squares, Sum{}));
    }
    return total;
}

} // namespace

} // namespace pyollama

#define PYOLLAMA_KERNELS(name)                                                                     \
    {name, block_maxima, masked_copy, exponentials, exponential_sums, moments}
