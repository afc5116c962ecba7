// Depthwise convolutions: each block of channels by itself, P pixels of a row at once.
#pragma once

#include "convolution.h"

// Rows whose sum is one entry of the map of sums: a number that does not depend on how many threads there are, so that
// the answer does not either.
constexpr int ROWS = 8;

struct DepthwiseTile {
    const float* input;
    int64_t input_row;
    const float* weights;  // (kernel, kernel, LANES)
    Vector bias;
    float* output;
    int kernel, stride;
    Activation activation;
};

template <int P, int K, int STRIDE>
Vector depthwise_tile(const DepthwiseTile& t) {
    Vector sums[P];
    UNROLL for (int p = 0; p < P; ++p) sums[p] = t.bias;
    if constexpr (K > 0) {
        for (int y = 0; y < K; ++y) {
            const float* row = t.input + y * t.input_row;
            Vector w[K];
            UNROLL for (int x = 0; x < K; ++x) w[x] = load(t.weights + (y * K + x) * LANES);
            UNROLL for (int from = 0; from < (P - 1) * STRIDE + K; ++from) {  // each value is read once for all its pixels
                const Vector value = load(row + from * LANES);
                UNROLL for (int x = 0; x < K; ++x)
                    if ((from - x) % STRIDE == 0 && from >= x && (from - x) / STRIDE < P)
                        sums[(from - x) / STRIDE] += w[x] * value;
            }
        }
    } else {
        for (int y = 0; y < t.kernel; ++y)
            for (int x = 0; x < t.kernel; ++x) {
                const Vector w = load(t.weights + (y * t.kernel + x) * LANES);
                UNROLL for (int p = 0; p < P; ++p) sums[p] += w * load(t.input + y * t.input_row + (p * t.stride + x) * LANES);
            }
    }
    UNROLL for (int p = 0; p < P; ++p) store(t.output + p * LANES, sums[p]);
    return activate(t.output, P, t.activation);
}

using DepthwiseFunction = Vector (*)(const DepthwiseTile&);

template <int K, int STRIDE, int... P>
DepthwiseFunction depthwise_of_pixels(int pixels, std::integer_sequence<int, P...>) {
    static constexpr DepthwiseFunction functions[] = {depthwise_tile<P + 1, K, STRIDE>...};
    return functions[pixels - 1];
}

inline DepthwiseFunction depthwise_function(int pixels, int kernel, int stride) {
    constexpr auto all_pixels = std::make_integer_sequence<int, MAX_PIXELS>{};
    if (kernel == 3 && stride == 1) return depthwise_of_pixels<3, 1>(pixels, all_pixels);
    if (kernel == 3 && stride == 2) return depthwise_of_pixels<3, 2>(pixels, all_pixels);
    if (kernel == 5 && stride == 1) return depthwise_of_pixels<5, 1>(pixels, all_pixels);
    if (kernel == 5 && stride == 2) return depthwise_of_pixels<5, 2>(pixels, all_pixels);
    return depthwise_of_pixels<0, 1>(pixels, all_pixels);
}

inline void convolve_depthwise(const Step& step, const Map* maps, const float* weights, float* arena, Share share) {
    const Map &in = maps[step.input], &out = maps[step.output];
    const Pieces pieces(out.width, step.pixels);
    const int narrow = out.width / pieces.count;
    const DepthwiseFunction functions[2] = {
        depthwise_function(narrow, step.kernel, step.stride),
        narrow < MAX_PIXELS ? depthwise_function(narrow + 1, step.kernel, step.stride) : nullptr,
    };
    const int strips = (out.height + ROWS - 1) / ROWS, items = in.blocks() * strips;
    DepthwiseTile tile;
    tile.input_row = in.row(), tile.kernel = step.kernel, tile.stride = step.stride, tile.activation = step.activation;
    for (int item = share.first(items); item < share.last(items); ++item) {
        const int block = item / strips, strip = item % strips;
        tile.weights = weights + step.weights + static_cast<int64_t>(block) * step.kernel * step.kernel * LANES;
        tile.bias = load(weights + step.bias + block * LANES);
        Vector total{};
        for (int y = strip * ROWS; y < std::min(out.height, (strip + 1) * ROWS); ++y)
            for (int piece = 0; piece < pieces.count; ++piece) {
                const int x = pieces.start(piece);
                tile.input = in.at(arena, block, y * step.stride - step.before, x * step.stride - step.before);
                tile.output = out.at(arena, block, y, x);
                total += functions[pieces.start(piece + 1) - x - narrow](tile);
            }
        if (step.sums >= 0) store(maps[step.sums].at(arena, block, 0, strip), total);
    }
}
