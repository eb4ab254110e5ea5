#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define PYOLLAMA_LANES 8
#include "kernels_impl.hpp"

namespace pyollama {

extern const Kernels avx2_kernels;
const Kernels avx2_kernels = PYOLLAMA_KERNELS("avx2");

} // namespace pyollama

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
