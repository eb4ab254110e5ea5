// One attention of ggml's processor backend by itself, on tensors that the caller fills: what
// test_attention.py compares with its own arithmetic, and what a change of the kernels is timed
// with.

#include "attention/attention.hpp"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include <cstdint>
#include <vector>

namespace {

// Sizes in the order of the arguments in attention_op.py.
struct Sizes {
    int64_t key_size;
    int64_t value_size;
    int64_t tokens;
    int64_t cells;
    int64_t heads;
    int64_t key_heads;
    int64_t streams;
    int32_t cache_type; // a ggml_type
    int32_t threads;
    int32_t repeats;
};

void fill(ggml_tensor * tensor, const float * values) {
    const int64_t n = ggml_nelements(tensor);
    if (tensor->type == GGML_TYPE_F32) {
        ggml_backend_tensor_set(tensor, values, 0, ggml_nbytes(tensor));
        return;
    }
    std::vector<char> converted(ggml_nbytes(tensor));
    ggml_quantize_chunk(tensor->type, values, converted.data(), 0, n / tensor->ne[0], tensor->ne[0],
                        nullptr);
    ggml_backend_tensor_set(tensor, converted.data(), 0, converted.size());
}

} // namespace

extern "C" {

#define EXPORT __attribute__((visibility("default")))

EXPORT void use_own_attention() {
    pyollama::install_attention();
}

// Microseconds of the fastest repeat. Queries are streams × heads × tokens × key_size, keys and
// values streams × key_heads × cells × size, the output streams × tokens × heads × value_size.
EXPORT double attend(const Sizes * sizes, const float * queries, const float * keys,
                     const float * values, const float * mask, const float * sinks, float scale,
                     float soft_cap, float max_bias, float * out) {
    ggml_init_params params{};
    params.mem_size = ggml_tensor_overhead() * 16 + ggml_graph_overhead();
    params.no_alloc = true;
    ggml_context * context = ggml_init(params);
    const auto type = static_cast<ggml_type>(sizes->cache_type);
    const auto & s = *sizes;
    ggml_tensor * q =
        ggml_new_tensor_4d(context, GGML_TYPE_F32, s.key_size, s.tokens, s.heads, s.streams);
    ggml_tensor * k =
        ggml_new_tensor_4d(context, type, s.key_size, s.cells, s.key_heads, s.streams);
    ggml_tensor * v =
        ggml_new_tensor_4d(context, type, s.value_size, s.cells, s.key_heads, s.streams);
    ggml_tensor * m = nullptr;
    if (mask) {
        m = ggml_new_tensor_4d(context, GGML_TYPE_F16, s.cells, s.tokens, 1, s.streams);
    }
    ggml_tensor * result = ggml_flash_attn_ext(context, q, k, v, m, scale, max_bias, soft_cap);
    ggml_tensor * sink = nullptr;
    if (sinks) {
        sink = ggml_new_tensor_1d(context, GGML_TYPE_F32, s.heads);
        ggml_flash_attn_ext_add_sinks(result, sink);
    }
    ggml_cgraph * graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, result);

    ggml_backend_t backend = ggml_backend_cpu_init();
    ggml_backend_cpu_set_n_threads(backend, s.threads);
    ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors(context, backend);
    fill(q, queries);
    fill(k, keys);
    fill(v, values);
    if (mask) {
        fill(m, mask);
    }
    if (sinks) {
        fill(sink, sinks);
    }
    double fastest = 1e30;
    for (int32_t i = 0; i < s.repeats; ++i) {
        const int64_t begin = ggml_time_us();
        ggml_backend_graph_compute(backend, graph);
        const auto took = static_cast<double>(ggml_time_us() - begin);
        fastest = took < fastest ? took : fastest;
    }
    ggml_backend_tensor_get(result, out, 0, ggml_nbytes(result));
    ggml_backend_buffer_free(buffer);
    ggml_backend_free(backend);
    ggml_free(context);
    return fastest;
}

} // extern "C"
