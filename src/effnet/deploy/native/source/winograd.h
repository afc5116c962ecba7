// 3x3 convolutions of stride 1 with fewer multiplications (Lavin and Gray 2015, arXiv 1509.09308).
//
// M x M outputs are computed from (M + 2)^2 inputs by as many products a channel, where the sum as it is written needs
// 9 M^2: 16 instead of 36 for M = 2, 36 instead of 144 for M = 4. Between the transforms of inputs and outputs the
// products are (M + 2)^2 dense layers, one for each place in a tile, done by the tiles of `convolution.h`.
#pragma once


#include "convolution.h"

template <int M> struct Transform;

template <> struct Transform<2> {
    static void input(const Vector* d, int step, Vector* to) {
        to[0] = d[0] - d[2 * step];
        to[1] = d[step] + d[2 * step];
        to[2] = d[2 * step] - d[step];
        to[3] = d[step] - d[3 * step];
    }
    static void output(const Vector* m, int step, Vector* to) {
        to[0] = m[0] + m[step] + m[2 * step];
        to[1] = m[step] - m[2 * step] - m[3 * step];
    }
};

template <> struct Transform<4> {
    static void input(const Vector* d, int step, Vector* to) {
        const Vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
        const Vector even = d4 - 4.0f * d2, odd = d3 - 4.0f * d1, near = d4 - d2, far = 2.0f * (d3 - d1);
        to[0] = 4.0f * d0 - 5.0f * d2 + d4;
        to[1] = even + odd;
        to[2] = even - odd;
        to[3] = near + far;
        to[4] = near - far;
        to[5] = 4.0f * d1 - 5.0f * d3 + d5;
    }
    static void output(const Vector* m, int step, Vector* to) {
        const Vector sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
        const Vector sum2 = m[3 * step] + m[4 * step], difference2 = m[3 * step] - m[4 * step];
        to[0] = m[0] + sum + sum2;
        to[1] = difference + 2.0f * difference2;
        to[2] = sum + 4.0f * sum2;
        to[3] = difference + 8.0f * difference2 + m[5 * step];
    }
};

// Tiles of one step, and where they are kept between the transforms.
struct Strip {
    const Map &in, &out;
    int across;        // tiles in a row of the map
    int start, count;  // the tiles at hand
    int64_t stride;    // floats from one place of the transformed tiles to the next block of channels
    float* inputs;     // (places, blocks of input channels, tiles, LANES)
    float* products;   // (places, blocks of a group, tiles, LANES)

    template <int M> int top(int tile) const { return (start + tile) / across * M; }
    template <int M> int left(int tile) const { return (start + tile) % across * M; }
};

template <int M>
void transform_inputs(const Strip& strip, float* arena) {
    constexpr int N = M + 2;
    for (int block = 0; block < strip.in.blocks(); ++block)
        for (int t = 0; t < strip.count; ++t) {
            Vector rows[N * N], column[N];
            for (int r = 0; r < N; ++r) {
                const float* from = strip.in.at(arena, block, strip.top<M>(t) + r - 1, strip.left<M>(t) - 1);
                Vector line[N];
                for (int c = 0; c < N; ++c) line[c] = load(from + c * LANES);
                Transform<M>::input(line, 1, rows + r * N);
            }
            for (int c = 0; c < N; ++c) {
                Transform<M>::input(rows + c, N, column);
                for (int r = 0; r < N; ++r)
                    store(strip.inputs + ((r * N + c) * strip.in.blocks() + block) * strip.stride + t * LANES,
                          column[r]);
            }
        }
}

// The products of one group of output channels at every place of the tiles.
template <int M>
void multiply(const Strip& strip, const Step& step, const float* weights, int blocks, const float* zeros) {
    const Pieces pieces(strip.count, step.pixels);
    Tile tile{};
    tile.input_block = tile.output_block = strip.stride;
    tile.bias = zeros, tile.channels = strip.in.channels, tile.kernel = 1, tile.stride = 1;
    for (int place = 0; place < (M + 2) * (M + 2); ++place)
        for (int piece = 0; piece < pieces.count; ++piece) {
            const int t = pieces.start(piece), pixels = pieces.start(piece + 1) - t;
            tile.input = strip.inputs + place * strip.in.blocks() * strip.stride + t * LANES;
            tile.weights = weights + static_cast<int64_t>(place) * strip.in.channels * blocks * LANES;
            tile.output = strip.products + place * step.blocks * strip.stride + t * LANES;
            tile_function(pixels, blocks, LANES, 1)(tile);
        }
}

// One block of output channels: back from the places to pixels, then bias, shortcut and activation.
template <int M>
void transform_outputs(const Strip& strip, const Step& step, const Map& shortcut, int first, int b, Vector bias,
                       float* arena) {
    constexpr int N = M + 2;
    for (int t = 0; t < strip.count; ++t) {
        const int y = strip.top<M>(t), x = strip.left<M>(t);
        const int height = std::min(M, strip.out.height - y), width = std::min(M, strip.out.width - x);
        Vector rows[M * N], results[M];
        for (int c = 0; c < N; ++c) {
            Vector line[N], made[M];
            for (int r = 0; r < N; ++r)
                line[r] = load(strip.products + ((r * N + c) * step.blocks + b) * strip.stride + t * LANES);
            Transform<M>::output(line, 1, made);
            for (int r = 0; r < M; ++r) rows[r * N + c] = made[r];
        }
        for (int r = 0; r < height; ++r) {
            Transform<M>::output(rows + r * N, 1, results);
            float* to = strip.out.at(arena, first + b, y + r, x);
            const float* added = step.shortcut < 0 ? nullptr : shortcut.at(arena, first + b, y + r, x);
            for (int c = 0; c < width; ++c) {
                const Vector sum = results[c] + bias;
                store(to + c * LANES, added && !step.shortcut_last ? sum + load(added + c * LANES) : sum);
            }
            if (step.activation == NONE) continue;
            activate(to, width, step.activation);
            for (int c = 0; added && step.shortcut_last && c < width; ++c)
                store(to + c * LANES, load(to + c * LANES) + load(added + c * LANES));
        }
    }
}

template <int M>
void convolve_winograd(const Step& step, const Map* maps, const float* weights, float* arena, Share share) {
    constexpr int PLACES = (M + 2) * (M + 2);
    const Map &in = maps[step.input], &out = maps[step.output];
    const Map& shortcut = step.shortcut < 0 ? out : maps[step.shortcut];
    const int across = (out.width + M - 1) / M, tiles = (out.height + M - 1) / M * across;
    const int64_t stride = static_cast<int64_t>(step.strip) * LANES;  // what a strip becomes stays in the second cache
    thread_local std::vector<float> memory;
    float* zeros = room(memory, PLACES * stride * (in.blocks() + step.blocks) + MAX_BLOCKS * LANES);
    std::fill_n(zeros, MAX_BLOCKS * LANES, 0.0f);
    float* inputs = zeros + MAX_BLOCKS * LANES;
    Strip strip{in, out, across, 0, 0, stride, inputs, inputs + PLACES * in.blocks() * stride};

    for (int start = share.first(tiles); start < share.last(tiles); start += step.strip) {
        strip.start = start, strip.count = std::min(step.strip, share.last(tiles) - start);
        transform_inputs<M>(strip, arena);
        for (int first = 0; first < out.blocks(); first += step.blocks) {
            const int blocks = std::min(step.blocks, out.blocks() - first);
            const int64_t before = static_cast<int64_t>(PLACES) * in.channels * first * LANES;
            multiply<M>(strip, step, weights + step.weights + before, blocks, zeros);
            for (int b = 0; b < blocks; ++b) {
                const Vector bias = load(weights + step.bias + (first + b) * LANES);
                transform_outputs<M>(strip, step, shortcut, first, b, bias, arena);
            }
        }
    }
}
