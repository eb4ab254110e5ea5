// Attention of a tile of queries to the cells of a cache, block by block, with a running softmax
// (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).
#pragma once

#include "../vectors.hpp"

#include <cmath>
#include <cstring>

namespace pyollama {

namespace {

constexpr size_t block_cells = 32;
constexpr size_t tile_queries = 64;

// What multiply() holds in registers: up to `strip_rows` rows of some vectors. Few rows get more
// vectors, because additions to the same one wait for each other.
constexpr size_t strip_rows = lanes == 16 ? 8 : 4;

constexpr size_t strip_vectors(size_t rows) {
    constexpr size_t sums = 8;
    return rows * 2 >= sums ? (lanes == 4 ? 4 : 2) : sums / rows;
}

template <size_t Rows, size_t Vectors>
inline void multiply_strip(const float * const * a, size_t depth, const float * b, size_t stride,
                           float * const * out, size_t column) {
    Floats sums[Rows][Vectors];
    for (size_t i = 0; i < Rows; ++i) {
        for (size_t v = 0; v < Vectors; ++v) {
            sums[i][v] = load(out[i] + column + v * lanes);
        }
    }
    for (size_t k = 0; k < depth; ++k) {
        Floats row[Vectors];
        for (size_t v = 0; v < Vectors; ++v) {
            row[v] = load(b + k * stride + column + v * lanes);
        }
        for (size_t i = 0; i < Rows; ++i) {
            const Floats factor = all(a[i][k]);
            for (size_t v = 0; v < Vectors; ++v) {
                sums[i][v] += factor * row[v];
            }
        }
    }
    for (size_t i = 0; i < Rows; ++i) {
        for (size_t v = 0; v < Vectors; ++v) {
            store(sums[i][v], out[i] + column + v * lanes);
        }
    }
}

template <size_t Rows>
inline void multiply_rows(const float * const * a, size_t depth, const float * b, size_t stride,
                          float * const * out, size_t columns) {
    constexpr size_t vectors = strip_vectors(Rows);
    size_t column = 0;
    for (; column + vectors * lanes <= columns; column += vectors * lanes) {
        multiply_strip<Rows, vectors>(a, depth, b, stride, out, column);
    }
    for (; column < columns; column += lanes) {
        multiply_strip<Rows, 1>(a, depth, b, stride, out, column);
    }
}

// The rows that are left when all full strips are done.
template <size_t Rows>
inline void multiply_rest(size_t n, const float * const * a, size_t depth, const float * b,
                          size_t stride, float * const * out, size_t columns) {
    if constexpr (Rows > 0) {
        if (n == Rows) {
            multiply_rows<Rows>(a, depth, b, stride, out, columns);
        } else {
            multiply_rest<Rows - 1>(n, a, depth, b, stride, out, columns);
        }
    }
}

// out[i][c] += a[i][k] * b[k][c], summed over k < depth, for n rows. Rows of `b` are `stride`
// apart and as long as the rows of `out`: `columns`, a multiple of the lanes.
void multiply(size_t n, const float * const * a, size_t depth, const float * b, size_t stride,
              float * const * out, size_t columns) {
    for (; n >= strip_rows; n -= strip_rows, a += strip_rows, out += strip_rows) {
        multiply_rows<strip_rows>(a, depth, b, stride, out, columns);
    }
    multiply_rest<strip_rows - 1>(n, a, depth, b, stride, out, columns);
}

// Sum i of the result is that of the lanes of values[i]; overwrites them.
inline Floats sums_of(Floats * values) {
    for (size_t n = lanes; n > 1; n /= 2) {
        for (size_t i = 0; i < n / 2; ++i) {
            const Floats a = values[2 * i];
            const Floats b = values[2 * i + 1];
            values[i] = evens(a, b) + odds(a, b);
        }
    }
    return values[0];
}

// Adds to out[i][c] the product of row a[i] and row c of `b`; rows are `size` long, whole vectors.
template <size_t Rows>
inline void dot_rows(const float * const * a, size_t size, const float * b, float * const * out) {
    constexpr size_t cells = lanes / Rows;
    for (size_t cell = 0; cell < block_cells; cell += cells) {
        Floats sums[lanes] = {};
        for (size_t d = 0; d < size; d += lanes) {
            Floats row[Rows];
            for (size_t i = 0; i < Rows; ++i) {
                row[i] = load(a[i] + d);
            }
            for (size_t c = 0; c < cells; ++c) {
                const Floats key = load(b + (cell + c) * size + d);
                for (size_t i = 0; i < Rows; ++i) {
                    sums[i * cells + c] += row[i] * key;
                }
            }
        }
        float totals[lanes];
        store(sums_of(sums), totals);
        for (size_t i = 0; i < Rows; ++i) {
            for (size_t c = 0; c < cells; ++c) {
                out[i][cell + c] += totals[i * cells + c];
            }
        }
    }
}

// The same for n rows.
void dot(size_t n, const float * const * a, size_t size, const float * b, float * const * out) {
    constexpr size_t most = lanes / 4;
    for (; n >= most; n -= most, a += most, out += most) {
        dot_rows<most>(a, size, b, out);
    }
    if constexpr (most > 2) {
        if (n >= 2) {
            dot_rows<2>(a, size, b, out);
            n -= 2, a += 2, out += 2;
        }
    }
    if (n == 1) {
        dot_rows<1>(a, size, b, out);
    }
}

// The block_cells rows of `rows`, each `size` long, as columns.
void transpose(const float * rows, size_t size, float * out) {
    typedef float Four __attribute__((vector_size(4 * sizeof(float))));
    for (size_t r = 0; r < block_cells; r += 4) {
        size_t i = 0;
        for (; i + 4 <= size; i += 4) {
            Four in[4];
            for (size_t k = 0; k < 4; ++k) {
                std::memcpy(&in[k], rows + (r + k) * size + i, sizeof in[k]);
            }
            const Four low_a = shuffle<0, 4, 1, 5>(in[0], in[1]);
            const Four low_b = shuffle<0, 4, 1, 5>(in[2], in[3]);
            const Four high_a = shuffle<2, 6, 3, 7>(in[0], in[1]);
            const Four high_b = shuffle<2, 6, 3, 7>(in[2], in[3]);
            const Four columns[4] = {
                shuffle<0, 1, 4, 5>(low_a, low_b), shuffle<2, 3, 6, 7>(low_a, low_b),
                shuffle<0, 1, 4, 5>(high_a, high_b), shuffle<2, 3, 6, 7>(high_a, high_b)};
            for (size_t c = 0; c < 4; ++c) {
                std::memcpy(out + (i + c) * block_cells + r, &columns[c], sizeof columns[c]);
            }
        }
        for (; i < size; ++i) {
            for (size_t k = 0; k < 4; ++k) {
                out[i * block_cells + r + k] = rows[(r + k) * size + i];
            }
        }
    }
}

// The queries that go over the cells together, and what they have found so far.
struct Tile {
    size_t n = 0;
    size_t key_size = 0;
    size_t value_size = 0;
    float soft_cap = 0.0f; // scores become soft_cap · tanh(score), unless it is 0

    float * queries;      // n × key_size, scaled
    float * slopes;       // n, what the mask is multiplied by
    float * outputs;      // n × value_size, weighted sum of values, not divided by `sums` yet
    float * maxima;       // n, largest score
    float * partial_sums; // n × lanes, of exp(score - maximum)

    // of the block at hand
    float * keys; // block_cells × key_size
    float * keys_transposed;
    float * values; // block_cells × value_size
    float * scores; // n × block_cells

    // Floats that one tile needs, with room for any of the above.
    static size_t size(size_t key_size, size_t value_size) {
        return tile_queries * (key_size + value_size + 2 + lanes + block_cells) +
               block_cells * (2 * key_size + value_size);
    }

    Tile(float * memory, size_t key_size_, size_t value_size_)
        : key_size(key_size_), value_size(value_size_) {
        keys = memory;
        keys_transposed = keys + block_cells * key_size;
        values = keys_transposed + block_cells * key_size;
        scores = values + block_cells * value_size;
        queries = scores + tile_queries * block_cells;
        outputs = queries + tile_queries * key_size;
        partial_sums = outputs + tile_queries * value_size;
        maxima = partial_sums + tile_queries * lanes;
        slopes = maxima + tile_queries;
    }

    void clear(size_t queries_in_it) {
        n = queries_in_it;
        std::memset(outputs, 0, n * value_size * sizeof(float));
        std::memset(partial_sums, 0, n * lanes * sizeof(float));
        for (size_t i = 0; i < n; ++i) {
            maxima[i] = minus_infinity;
        }
    }

    // Queries `who[0..count)` attend to the block; masks[i] is added to the scores of who[i].
    void attend(const size_t * who, const float * const * masks, size_t count) {
        const float * a[tile_queries];
        float * out[tile_queries];
        for (size_t i = 0; i < count; ++i) {
            a[i] = queries + who[i] * key_size;
            out[i] = scores + i * block_cells;
        }
        std::memset(scores, 0, count * block_cells * sizeof(float));
        // a product of rows costs the addition of its lanes; transposed keys cost once for all
        if (count * 3 <= key_size && key_size % lanes == 0) {
            dot(count, a, key_size, keys, out);
        } else {
            transpose(keys, key_size, keys_transposed);
            multiply(count, a, key_size, keys_transposed, block_cells, out, block_cells);
        }
        for (size_t i = 0; i < count; ++i) {
            add_mask(out[i], masks[i], slopes[who[i]]);
            weigh(who[i], out[i]);
            a[i] = out[i];
            out[i] = outputs + who[i] * value_size;
        }
        multiply(count, a, block_cells, values, value_size, out, value_size);
    }

    void add_mask(float * row, const float * mask, float slope) const {
        for (size_t i = 0; i < block_cells; i += lanes) {
            Floats score = load(row + i);
            if (soft_cap != 0.0f) {
                score = all(soft_cap) * hyperbolic_tangent(score);
            }
            store(score + all(slope) * load(mask + i), row + i);
        }
    }

    // Scores become weights against the largest score so far; earlier sums follow a new one.
    void weigh(size_t query, float * row) {
        Floats largest = load(row);
        for (size_t i = lanes; i < block_cells; i += lanes) {
            largest = larger(load(row + i), largest);
        }
        const float found = fold(largest, Larger{});
        float * sum = partial_sums + query * lanes;
        if (found > maxima[query]) {
            const float shrink = std::exp(maxima[query] - found);
            maxima[query] = found;
            store(load(sum) * all(shrink), sum);
            float * output = outputs + query * value_size;
            for (size_t i = 0; i < value_size; i += lanes) {
                store(load(output + i) * all(shrink), output + i);
            }
        }
        const Floats shift = all(maxima[query]);
        Floats total = load(sum);
        for (size_t i = 0; i < block_cells; i += lanes) {
            const Floats weight = exponential(load(row + i) - shift);
            store(weight, row + i);
            total += weight;
        }
        store(total, sum);
    }

    float sum(size_t query) const { return fold(load(partial_sums + query * lanes), Sum{}); }
};

} // namespace

} // namespace pyollama
