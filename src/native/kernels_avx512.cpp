#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq")
#endif

#define PYOLLAMA_LANES 16
#include "kernels_impl.hpp"

namespace pyollama {

extern const Kernels avx512_kernels;
const Kernels avx512_kernels = PYOLLAMA_KERNELS("avx512");

} // namespace pyollama

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
