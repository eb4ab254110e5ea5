// The loops over whole rows of logits, once for each instruction set and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyollama {

// Rows are summed up in blocks of this many values; the last block of a row may be shorter. Whoever
// looks for large values or for a share of a sum need only look closely at few blocks.
constexpr size_t kernel_block = 128;

constexpr size_t kernel_blocks(size_t size) {
    return (size + kernel_block - 1) / kernel_block;
}

// Sums over the values above minus infinity.
struct Moments {
    double count;
    double sum;     // of value - shift
    double squares; // of (value - shift)²
};

struct Kernels {
    const char * name;

    // The largest value of each block. False where a value is no number or plus infinity.
    bool (*block_maxima)(const float * values, size_t size, float * maxima);

    // Copies the values whose bit is set in `mask`, and minus infinity for the others; the lowest
    // bit of a word comes first. Maxima are those of the copy; what it returns is about `values`.
    bool (*masked_copy)(const float * values, const uint32_t * mask, size_t size, float * out,
                        float * maxima);

    // exp((value - shift) * scale), where the arguments of exp() are not above 0.
    void (*exponentials)(const float * values, size_t size, float shift, float scale, float * out);

    // The sum of the same for each block, over the values that are not below `floor`.
    void (*exponential_sums)(const float * values, size_t size, float shift, float scale,
                             float floor, double * sums);

    Moments (*moments)(const float * values, size_t size, float shift);
};

// All that this processor can run, the best first; ends with a null pointer.
const Kernels * const * available_kernels();

// What is in use: the best one, unless another was chosen.
const Kernels & kernels();
// For tests and measurements. False where there is no such one.
bool use_kernels(const char * name);

} // namespace pyollama
