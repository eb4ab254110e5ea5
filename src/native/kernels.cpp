// The kernels that every processor can run, and the choice among all.

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__) || defined(__ARM_NEON))
#define PYOLLAMA_LANES 4 // SSE2 or NEON, which these processors all have
#else
#define PYOLLAMA_LANES 1
#endif
#include "kernels_impl.hpp"

#include <atomic>
#include <cstring>
#include <vector>

namespace pyollama {

#if defined(__x86_64__)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif

namespace {

#if defined(__aarch64__) || defined(__ARM_NEON)
const Kernels basic_kernels = PYOLLAMA_KERNELS("neon");
#elif PYOLLAMA_LANES > 1
const Kernels basic_kernels = PYOLLAMA_KERNELS("sse2");
#else
const Kernels basic_kernels = PYOLLAMA_KERNELS("scalar");
#endif

std::vector<const Kernels *> find_kernels() {
    std::vector<const Kernels *> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
        found.push_back(&avx512_kernels);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        found.push_back(&avx2_kernels);
    }
#endif
    found.push_back(&basic_kernels);
    found.push_back(nullptr);
    return found;
}

std::atomic<const Kernels *> & in_use() {
    static std::atomic<const Kernels *> kernels{available_kernels()[0]};
    return kernels;
}

} // namespace

const Kernels * const * available_kernels() {
    static const std::vector<const Kernels *> found = find_kernels();
    return found.data();
}

const Kernels & kernels() {
    return *in_use().load(std::memory_order_relaxed);
}

bool use_kernels(const char * name) {
    for (const Kernels * const * one = available_kernels(); *one != nullptr; ++one) {
        if (std::strcmp((*one)->name, name) == 0) {
            in_use().store(*one);
            return true;
        }
    }
    return false;
}

} // namespace pyollama
