// Arithmetic on vectors of PYOLLAMA_LANES floats, in the compiler's own vector types. A file that
// includes it says how wide they are and which instructions its functions may use. Nothing but such
// arithmetic may stand here: an inline function of the standard library compiled with those
// instructions could be the one that the linker keeps for everybody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

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

#if PYOLLAMA_LANES > 1
// The lanes of `a` and, counted on, of `b` that are named.
template <size_t... which, typename Vector> inline Vector shuffle(Vector a, Vector b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, which...);
#else
    typedef int32_t Places __attribute__((vector_size(sizeof(Vector))));
    return __builtin_shuffle(a, b, Places{static_cast<int32_t>(which)...});
#endif
}

template <size_t... i> inline Floats evens(Floats a, Floats b, std::index_sequence<i...>) {
    return shuffle<2 * i...>(a, b);
}
template <size_t... i> inline Floats odds(Floats a, Floats b, std::index_sequence<i...>) {
    return shuffle<2 * i + 1 ...>(a, b);
}
// Every other lane of both.
inline Floats evens(Floats a, Floats b) {
    return evens(a, b, std::make_index_sequence<lanes>{});
}
inline Floats odds(Floats a, Floats b) {
    return odds(a, b, std::make_index_sequence<lanes>{});
}
#endif

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

// (1 - e) / (1 + e) with e = exp(-2 |x|), and the sign of x.
inline Floats hyperbolic_tangent(Floats x) {
    const Floats size = select(not_below(x, all(0.0f)), x, -x);
    const Floats e = exponential(all(-2.0f) * size);
    const Floats result = (all(1.0f) - e) / (all(1.0f) + e);
    return select(not_below(x, all(0.0f)), result, -result);
}

} // namespace

} // namespace pyollama
