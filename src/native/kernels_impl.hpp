// The body of kernels.hpp for vectors of PYOLLAMA_LANES floats. Each kernels_*.cpp includes it
// once, after telling the compiler which instructions the functions may use. Nothing but these
// includes may stand here: an inline function of the standard library compiled with those
// instructions could be the one that the linker keeps for everybody.

#include "kernels.hpp"

#ifndef PYOLLAMA_LANES
#error "PYOLLAMA_LANES says how many floats a vector has"
#endif

namespace pyollama {

namespace {

constexpr size_t lanes = PYOLLAMA_LANES;
constexpr float minus_infinity = -__builtin_inff();

#if PYOLLAMA_LANES > 1
// Both GCC and Clang calculate with these as with numbers, comparisons give all ones or zero.
typedef float Floats __attribute__((vector_size(lanes * sizeof(float))));
typedef int32_t Flags __attribute__((vector_size(lanes * sizeof(float))));
typedef uint32_t Words __attribute__((vector_size(lanes * sizeof(float))));
#else
typedef float Floats;
typedef int32_t Flags;
typedef uint32_t Words;
#endif

inline Floats load(const float * values) {
    Floats out;
    __builtin_memcpy(&out, values, sizeof out);
    return out;
}

inline void store(Floats value, float * out) {
    __builtin_memcpy(out, &value, sizeof value);
}

#if PYOLLAMA_LANES > 1
// A number less a vector is a vector; element by element would be slow code.
inline Floats all(float value) {
    return value - Floats{};
}

inline Words all_words(uint32_t value) {
    return value - Words{};
}

inline Flags not_below(Floats a, Floats b) {
    return a >= b;
}
inline Flags not_finite_or_low(Floats value) {
    return ~(value < all(__builtin_inff()));
}
inline Flags are_set(Words value) {
    return value != all_words(0);
}
#else
inline Floats all(float value) {
    return value;
}
inline Words all_words(uint32_t value) {
    return value;
}
inline Flags not_below(Floats a, Floats b) {
    return a >= b ? -1 : 0;
}
inline Flags not_finite_or_low(Floats value) {
    return value < __builtin_inff() ? 0 : -1;
}
inline Flags are_set(Words value) {
    return value != 0 ? -1 : 0;
}
#endif

inline Floats select(Flags flags, Floats yes, Floats no) {
    return flags ? yes : no;
}

// The second one where the first is no number.
inline Floats larger(Floats a, Floats b) {
    return a > b ? a : b;
}

inline bool any(Flags flags) {
    int32_t values[lanes];
    __builtin_memcpy(values, &flags, sizeof flags);
    int32_t found = 0;
    for (size_t i = 0; i < lanes; ++i) {
        found |= values[i];
    }
    return found != 0;
}

// In halves, which are vectors again, instead of one number after the other.
template <typename Combine> inline float fold(Floats value, Combine combine) {
    float values[lanes];
    store(value, values);
    for (size_t half = lanes / 2; half > 0; half /= 2) {
        for (size_t i = 0; i < half; ++i) {
            values[i] = combine(values[i], values[i + half]);
        }
    }
    return values[0];
}

struct Larger {
    float operator()(float a, float b) const { return a > b ? a : b; }
};

struct Sum {
    float operator()(float a, float b) const { return a + b; }
};

// 2^n * exp(r), with the series of exp for the rest r, which is at most ln(2)/2 away from 0.
inline Floats exponential(Floats x) {
    constexpr float log2_e = 1.44269504f;
    constexpr float ln2_high = 0.693359375f; // few bits, so that n times it is exact
    constexpr float ln2_low = -2.12194440e-4f;
    constexpr float rounder = 12582912.0f; // adding it leaves the nearest integer in the low bits
    constexpr float lowest = -87.0f;       // below, the result is not a normal number
    const Floats shifted = x * all(log2_e) + all(rounder);
    const Floats n = shifted - all(rounder);
    Floats r = x - n * all(ln2_high);
    r = r - n * all(ln2_low);
    Floats series = all(1.0f / 5040.0f);
    series = series * r + all(1.0f / 720.0f);
    series = series * r + all(1.0f / 120.0f);
    series = series * r + all(1.0f / 24.0f);
    series = series * r + all(1.0f / 6.0f);
    series = series * r + all(0.5f);
    series = series * r + all(1.0f);
    series = series * r + all(1.0f);
    Words bits;
    Words exponent;
    __builtin_memcpy(&bits, &series, sizeof bits);
    __builtin_memcpy(&exponent, &shifted, sizeof exponent);
    bits = bits + (exponent << 23);
    Floats result;
    __builtin_memcpy(&result, &bits, sizeof result);
    return select(not_below(x, all(lowest)), result, all(0.0f));
}

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
