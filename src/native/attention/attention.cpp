// Attention on the processor, in place of ggml's own: for a few queries against many cells (a step
// of running sequences) that one goes through the cells once for each head of each query, one cell
// at a time. This one converts a block of cells once for all the queries that share its keys: the
// heads of a group, and the tokens of a batch. Blocks that the mask hides from a query are not
// looked at.
//
// It is compiled into ggml's processor backend, with the same instructions, and asked before that
// backend's own code, as kernels for special layouts of weights are.

#include "attention.hpp"

#if defined(__AVX512F__)
#define PYOLLAMA_LANES 16
#elif defined(__AVX__)
#define PYOLLAMA_LANES 8
#else
#define PYOLLAMA_LANES 4
#endif
#include "tile.hpp"

#include "ggml-backend-impl.h"
#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "traits.h"

#include <algorithm>
#include <cstdlib>

namespace pyollama {

namespace {

using Convert = void (*)(const void * row, float * out, int64_t size);

Convert converter(ggml_type type) {
    switch (type) {
    case GGML_TYPE_F32:
        return [](const void * row, float * out, int64_t size) {
            std::memcpy(out, row, static_cast<size_t>(size) * sizeof(float));
        };
    case GGML_TYPE_F16:
        return [](const void * row, float * out, int64_t size) {
            ggml_cpu_fp16_to_fp32(static_cast<const ggml_fp16_t *>(row), out, size);
        };
    case GGML_TYPE_BF16:
        return [](const void * row, float * out, int64_t size) {
            ggml_cpu_bf16_to_fp32(static_cast<const ggml_bf16_t *>(row), out, size);
        };
    default:
        return ggml_get_type_traits(type)->to_float;
    }
}

float float_parameter(const ggml_tensor * op, int index) {
    float value;
    std::memcpy(&value, op->op_params + index, sizeof value);
    return value;
}

const char * address(const ggml_tensor * tensor, size_t i1, size_t i2, size_t i3) {
    return static_cast<const char *>(tensor->data) + i1 * tensor->nb[1] + i2 * tensor->nb[2] +
           i3 * tensor->nb[3];
}

// A GGML_OP_FLASH_ATTN_EXT: what is in its tensors, and how the work is cut.
struct Op {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * v;
    const ggml_tensor * mask;
    const ggml_tensor * sinks;
    float * out; // streams × tokens × heads × value_size

    size_t key_size;
    size_t value_size;
    size_t tokens;
    size_t heads;
    size_t key_heads;
    size_t group; // heads that share their keys
    size_t streams;
    size_t cells;
    size_t queries; // of one key head and stream: tokens × group
    size_t tiles;   // of one key head and stream
    float soft_cap;
    float scale;
    float steepest; // of the slopes (ALiBi), or 0 for none

    explicit Op(const ggml_tensor * op)
        : q(op->src[0]), k(op->src[1]), v(op->src[2]), mask(op->src[3]), sinks(op->src[4]),
          out(static_cast<float *>(op->data)), key_size(static_cast<size_t>(q->ne[0])),
          value_size(static_cast<size_t>(v->ne[0])), tokens(static_cast<size_t>(q->ne[1])),
          heads(static_cast<size_t>(q->ne[2])), key_heads(static_cast<size_t>(k->ne[2])),
          group(heads / key_heads), streams(static_cast<size_t>(q->ne[3])),
          cells(static_cast<size_t>(k->ne[1])), queries(tokens * group),
          tiles((queries + tile_queries - 1) / tile_queries), soft_cap(float_parameter(op, 2)),
          scale(float_parameter(op, 0) / (soft_cap != 0.0f ? soft_cap : 1.0f)),
          steepest(float_parameter(op, 1)) {}

    // What the mask of a head is multiplied by (Press, Smith and Lewis, "Train Short, Test Long",
    // 2021).
    float slope(size_t head) const {
        if (steepest == 0.0f) {
            return 1.0f;
        }
        const auto power_of_two = static_cast<size_t>(std::exp2(std::floor(std::log2(heads))));
        const auto count = static_cast<float>(power_of_two);
        const bool regular = head < power_of_two;
        const float base = std::exp2(-steepest / (regular ? count : 2.0f * count));
        const size_t exponent = regular ? head + 1 : 2 * (head - power_of_two) + 1;
        return std::pow(base, static_cast<float>(exponent));
    }

    size_t items() const { return streams * key_heads * tiles; }
    size_t most_splits(size_t threads) const {
        constexpr size_t fewest_cells = 256;
        return std::clamp<size_t>((2 * threads + items() - 1) / items(), 1,
                                  std::max<size_t>(cells / fewest_cells, 1));
    }
    // Into how many ranges the cells are cut, so that all threads have something to do.
    size_t splits(size_t threads) const {
        return items() % threads == 0 ? 1 : most_splits(threads);
    }
    // Of one query in one range: the largest score, the sum of the weights, the output.
    size_t partial_size() const { return 2 + value_size; }
    size_t partials(size_t splits) const {
        return splits > 1 ? splits * streams * tokens * heads * partial_size() : 0;
    }
    size_t scratch() const {
        constexpr size_t line = 64 / sizeof(float);
        return (Tile::size(key_size, value_size) + 2 * line) / line * line;
    }
};

bool takes(const ggml_tensor * op) {
    if (op->op != GGML_OP_FLASH_ATTN_EXT) {
        return false;
    }
    const ggml_tensor * q = op->src[0];
    const ggml_tensor * k = op->src[1];
    const ggml_tensor * v = op->src[2];
    const ggml_tensor * mask = op->src[3];
    const bool fits = q->type == GGML_TYPE_F32 && converter(k->type) && converter(v->type) &&
                      v->ne[0] % static_cast<int64_t>(lanes) == 0 && q->ne[2] % k->ne[2] == 0 &&
                      k->ne[2] == v->ne[2] && q->ne[3] % k->ne[3] == 0 && k->ne[3] == v->ne[3];
    return fits && (!mask || (mask->type == GGML_TYPE_F16 && mask->ne[2] == 1));
}

// Whether a mask hides all of a block's cells.
bool hidden(const ggml_fp16_t * mask, size_t count) {
    constexpr ggml_fp16_t hides = 0xfc00; // minus infinity
    ggml_fp16_t differs = 0;
    for (size_t i = 0; i < count; ++i) {
        differs |= static_cast<ggml_fp16_t>(mask[i] ^ hides);
    }
    return differs == 0;
}

// One tile of queries against a range of cells.
class Walk {
  public:
    Walk(const Op & op, float * memory)
        : op_(op), tile_(memory, op.key_size, op.value_size), convert_key_(converter(op.k->type)),
          convert_value_(converter(op.v->type)) {
        tile_.soft_cap = op.soft_cap;
    }

    void go(size_t stream, size_t key_head, size_t first_query, size_t begin, size_t end) {
        stream_ = stream;
        key_head_ = key_head;
        first_query_ = first_query;
        tile_.clear(std::min(tile_queries, op_.queries - first_query));
        load_queries();
        for (size_t cell = begin; cell < end; cell += block_cells) {
            const size_t count = std::min(block_cells, end - cell);
            const size_t active = look(cell, count);
            if (active > 0) {
                load_block(cell, count);
                tile_.attend(who_, masks_, active);
            }
        }
    }

    const Tile & tile() const { return tile_; }

  private:
    void load_queries() {
        for (size_t i = 0; i < tile_.n; ++i) {
            const size_t token = (first_query_ + i) / op_.group;
            const size_t head = key_head_ * op_.group + (first_query_ + i) % op_.group;
            tile_.slopes[i] = op_.slope(head);
            const auto * from =
                reinterpret_cast<const float *>(address(op_.q, token, head, stream_));
            float * to = tile_.queries + i * op_.key_size;
            for (size_t d = 0; d < op_.key_size; ++d) {
                to[d] = from[d] * op_.scale;
            }
        }
    }

    // Notes which queries see a cell of the block, and their masks. Returns how many.
    size_t look(size_t cell, size_t count) {
        size_t active = 0;
        const size_t last = first_query_ + tile_.n - 1;
        float (*row)[block_cells] = mask_rows_;
        for (size_t token = first_query_ / op_.group; token <= last / op_.group; ++token) {
            if (load_mask(token, cell, count, *row)) {
                const size_t begin = std::max(token * op_.group, first_query_);
                const size_t end = std::min((token + 1) * op_.group, last + 1);
                for (size_t query = begin; query < end; ++query) {
                    who_[active] = query - first_query_;
                    masks_[active++] = *row;
                }
                ++row;
            }
        }
        return active;
    }

    bool load_mask(size_t token, size_t cell, size_t count, float * row) {
        if (!op_.mask) {
            std::fill_n(row, count, 0.0f);
        } else {
            const size_t stream = stream_ % static_cast<size_t>(op_.mask->ne[3]);
            const auto * mask =
                reinterpret_cast<const ggml_fp16_t *>(address(op_.mask, token, 0, stream)) + cell;
            if (hidden(mask, count)) {
                return false;
            }
            ggml_cpu_fp16_to_fp32(mask, row, static_cast<int64_t>(count));
        }
        std::fill(row + count, row + block_cells, minus_infinity);
        return true;
    }

    void load_block(size_t cell, size_t count) {
        const size_t stream_of_keys = stream_ / (op_.streams / static_cast<size_t>(op_.k->ne[3]));
        const auto key_size = static_cast<int64_t>(op_.key_size);
        const auto value_size = static_cast<int64_t>(op_.value_size);
        for (size_t i = 0; i < block_cells; ++i) {
            float * key = tile_.keys + i * op_.key_size;
            float * value = tile_.values + i * op_.value_size;
            if (i < count) {
                convert_key_(address(op_.k, cell + i, key_head_, stream_of_keys), key, key_size);
                convert_value_(address(op_.v, cell + i, key_head_, stream_of_keys), value,
                               value_size);
            } else { // what is no number would be none without weight either
                std::fill_n(key, op_.key_size, 0.0f);
                std::fill_n(value, op_.value_size, 0.0f);
            }
        }
    }

    const Op & op_;
    Tile tile_;
    Convert convert_key_;
    Convert convert_value_;
    size_t stream_ = 0;
    size_t key_head_ = 0;
    size_t first_query_ = 0;
    float mask_rows_[tile_queries][block_cells];
    const float * masks_[tile_queries];
    size_t who_[tile_queries];
};

// Where the output of a query goes: its place in streams × tokens × heads.
size_t place(const Op & op, size_t stream, size_t key_head, size_t query) {
    const size_t token = query / op.group;
    return (stream * op.tokens + token) * op.heads + key_head * op.group + query % op.group;
}

// `output` divided by the sum of the weights, to which a head's sink adds without having a value.
void finish(const Op & op, size_t place, float maximum, float sum, const float * output) {
    float shrink = 1.0f;
    if (op.sinks) {
        const float sink = static_cast<const float *>(op.sinks->data)[place % op.heads];
        const float largest = std::max(sink, maximum);
        shrink = std::exp(maximum - largest);
        sum = sum * shrink + std::exp(sink - largest);
    }
    const Floats factor = all(sum > 0.0f ? shrink / sum : 0.0f);
    float * out = op.out + place * op.value_size;
    for (size_t i = 0; i < op.value_size; i += lanes) {
        store(load(output + i) * factor, out + i);
    }
}

void finish_tile(const Op & op, const Tile & tile, size_t stream, size_t key_head, size_t first) {
    for (size_t i = 0; i < tile.n; ++i) {
        finish(op, place(op, stream, key_head, first + i), tile.maxima[i], tile.sum(i),
               tile.outputs + i * op.value_size);
    }
}

void keep_partials(const Op & op, const Tile & tile, size_t stream, size_t key_head, size_t first,
                   float * partials) {
    for (size_t i = 0; i < tile.n; ++i) {
        float * partial = partials + place(op, stream, key_head, first + i) * op.partial_size();
        partial[0] = tile.maxima[i];
        partial[1] = tile.sum(i);
        std::memcpy(partial + 2, tile.outputs + i * op.value_size, op.value_size * sizeof(float));
    }
}

// Brings the ranges of a query together.
void merge(const Op & op, const float * partials, size_t splits, size_t place, float * output) {
    const size_t range = op.streams * op.tokens * op.heads * op.partial_size();
    const float * first = partials + place * op.partial_size();
    float maximum = minus_infinity;
    for (size_t s = 0; s < splits; ++s) {
        maximum = std::max(maximum, first[s * range]);
    }
    float sum = 0.0f;
    std::memset(output, 0, op.value_size * sizeof(float));
    for (size_t s = 0; s < splits && maximum > minus_infinity; ++s) {
        const float * partial = first + s * range;
        const float weight = std::exp(partial[0] - maximum);
        sum += weight * partial[1];
        for (size_t i = 0; i < op.value_size; i += lanes) {
            store(load(output + i) + all(weight) * load(partial + 2 + i), output + i);
        }
    }
    finish(op, place, maximum, sum, output);
}

class Traits final : public ggml::cpu::tensor_traits {
    bool work_size(int n_threads, const ggml_tensor * tensor, size_t & size) override {
        const Op op(tensor);
        const auto threads = static_cast<size_t>(n_threads);
        size = (threads * op.scratch() + op.partials(op.most_splits(threads))) * sizeof(float);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * tensor) override {
        const Op op(tensor);
        const auto threads = static_cast<size_t>(params->nth);
        const auto thread = static_cast<size_t>(params->ith);
        float * memory = static_cast<float *>(params->wdata) + thread * op.scratch();
        float * partials = static_cast<float *>(params->wdata) + threads * op.scratch();
        const size_t splits = op.splits(threads);
        const size_t items = op.items() * splits;
        const size_t range = (op.cells + splits - 1) / splits;

        if (items > threads) { // who is done takes the next one
            if (thread == 0) {
                ggml_threadpool_chunk_set(params->threadpool, params->nth);
            }
            ggml_barrier(params->threadpool);
        }
        Walk walk(op, memory);
        for (size_t item = thread; item < items;) {
            const size_t split = item % splits;
            const size_t tile = item / splits % op.tiles;
            const size_t key_head = item / splits / op.tiles % op.key_heads;
            const size_t stream = item / splits / op.tiles / op.key_heads;
            const size_t begin = std::min(split * range, op.cells);
            const size_t first = tile * tile_queries;
            walk.go(stream, key_head, first, begin, std::min(begin + range, op.cells));
            if (splits == 1) {
                finish_tile(op, walk.tile(), stream, key_head, first);
            } else {
                keep_partials(op, walk.tile(), stream, key_head, first,
                              partials + op.partials(splits) / splits * split);
            }
            item = items > threads
                       ? static_cast<size_t>(ggml_threadpool_chunk_add(params->threadpool, 1))
                       : items;
        }
        if (splits > 1) {
            ggml_barrier(params->threadpool);
            const size_t outputs = op.streams * op.tokens * op.heads;
            for (size_t i = thread; i < outputs; i += threads) {
                merge(op, partials, splits, i, memory);
            }
        }
        return true;
    }
};

class Provider final : public ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor *) override { return false; }
    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        return takes(op) ? &traits_ : nullptr;
    }
    Traits traits_;
};

} // namespace

void install_attention() {
    static Provider provider;
    static ggml_backend_buffer_type type{};
    type.iface.get_name = [](ggml_backend_buffer_type_t) { return "pyollama attention"; };
    type.context = &provider;
    // No tensor can lie in a buffer of this type: have the list of types for weights made before.
    const auto list =
        reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(ggml_backend_reg_get_proc_address(
            ggml_backend_cpu_reg(), "ggml_backend_dev_get_extra_bufts"));
    list(ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0));
    ggml_backend_cpu_get_extra_buffer_types().push_back(&type);
}

#ifdef GGML_BACKEND_DL
// A backend that is loaded at run time is known by its entry points alone.
static const bool installed = (install_attention(), true);
#endif

} // namespace pyollama
