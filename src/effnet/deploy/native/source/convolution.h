// Dense convolutions of any kernel: an outer product held in registers.
//
// A tile is P pixels of one row times B blocks of output channels. Each input value is read once for B vectors of
// weights, each vector of weights once for P pixels; the sums stay in registers until the last input channel.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "plan.h"
#include "team.h"

constexpr int MAX_PIXELS = 14, MAX_BLOCKS = 4;
constexpr int most_pixels(int blocks) { return std::min(MAX_PIXELS, (REGISTERS - 1 - blocks) / blocks); }

struct Tile {
    const float* input;    // first pixel under the kernel
    int64_t input_row, input_block;
    const int64_t* taps;   // of an input of one lane: where each of its kernel * kernel * channels values lies
    const float* weights;  // (kernel, kernel, channels, B * LANES)
    const float* bias;     // (B * LANES)
    const float* shortcut; // same pixel of the map that is added, or null
    int64_t shortcut_block;
    float* output;
    int64_t output_block;
    int channels, kernel, stride;
    Activation activation;
    bool shortcut_last;
};

// IN: lanes of the input map; STRIDE 0: only known when it runs.
template <int P, int B, int IN, int STRIDE>
void convolve_tile(const Tile& t) {
    Vector sums[B][P];
    UNROLL for (int b = 0; b < B; ++b)
        UNROLL for (int p = 0; p < P; ++p) sums[b][p] = load(t.bias + b * LANES);
    const int64_t step = (STRIDE ? STRIDE : t.stride) * IN;
    const float* weights = t.weights;
    auto add = [&](const float* from) {  // one input value at each pixel
        Vector w[B];
        UNROLL for (int b = 0; b < B; ++b) w[b] = load(weights + b * LANES);
        UNROLL for (int p = 0; p < P; ++p) {
            const Vector value = all(from[p * step]);
            UNROLL for (int b = 0; b < B; ++b) sums[b][p] += w[b] * value;
        }
        weights += B * LANES;
    };
    if constexpr (IN == 1) {
        const int64_t* const end = t.taps + t.kernel * t.kernel * t.channels;
        for (const int64_t* tap = t.taps; tap < end; ++tap) add(t.input + *tap);
    } else {
        for (int y = 0; y < t.kernel; ++y) {
            for (int x = 0; x < t.kernel; ++x) {
                const float* block = t.input + y * t.input_row + x * IN;
                for (int c = 0; c < t.channels; c += IN, block += t.input_block) {
                    const float* end = block + std::min(IN, t.channels - c);
                    for (const float* from = block; from < end; ++from) add(from);
                }
            }
        }
    }
    UNROLL for (int b = 0; b < B; ++b)
        UNROLL for (int p = 0; p < P; ++p) {
            const bool adds = t.shortcut && !t.shortcut_last;
            const Vector sum = adds ? sums[b][p] + load(t.shortcut + b * t.shortcut_block + p * LANES) : sums[b][p];
            store(t.output + b * t.output_block + p * LANES, sum);
        }
    if (t.activation == NONE) return;
    for (int b = 0; b < B; ++b) {
        float* row = t.output + b * t.output_block;  // still in the nearest cache; the activation needs the registers
        activate(row, P, t.activation);
        if (t.shortcut && t.shortcut_last)
            for (int p = 0; p < P; ++p)
                store(row + p * LANES, load(row + p * LANES) + load(t.shortcut + b * t.shortcut_block + p * LANES));
    }
}

using TileFunction = void (*)(const Tile&);

template <int B, int IN, int STRIDE, int... P>
TileFunction tile_of_pixels(int pixels, std::integer_sequence<int, P...>) {
    static constexpr TileFunction functions[] = {convolve_tile<P + 1, B, IN, STRIDE>...};
    return functions[pixels - 1];
}

template <int IN, int STRIDE>
TileFunction tile_of(int pixels, int blocks) {
    switch (blocks) {
        case 1: return tile_of_pixels<1, IN, STRIDE>(pixels, std::make_integer_sequence<int, most_pixels(1)>{});
        case 2: return tile_of_pixels<2, IN, STRIDE>(pixels, std::make_integer_sequence<int, most_pixels(2)>{});
        case 3: return tile_of_pixels<3, IN, STRIDE>(pixels, std::make_integer_sequence<int, most_pixels(3)>{});
        default: return tile_of_pixels<4, IN, STRIDE>(pixels, std::make_integer_sequence<int, most_pixels(4)>{});
    }
}

inline TileFunction tile_function(int pixels, int blocks, int lanes, int stride) {
    if (lanes == 1) return stride == 2 ? tile_of<1, 2>(pixels, blocks) : tile_of<1, 0>(pixels, blocks);
    if (stride == 1) return tile_of<LANES, 1>(pixels, blocks);
    return stride == 2 ? tile_of<LANES, 2>(pixels, blocks) : tile_of<LANES, 0>(pixels, blocks);
}

// `width` pixels cut into pieces of at most `most`, as even as they can be.
struct Pieces {
    int width, count;
    Pieces(int width, int most) : width(width), count((width + most - 1) / most) {}
    int start(int piece) const { return static_cast<int>(static_cast<int64_t>(width) * piece / count); }
};

// Where the values under the first pixel's kernel lie, in the order of the weights.
inline const int64_t* taps_of(const Map& in, int kernel) {
    thread_local std::vector<int64_t> taps;
    taps.clear();
    for (int y = 0; in.lanes == 1 && y < kernel; ++y)
        for (int x = 0; x < kernel; ++x)
            for (int c = 0; c < in.channels; ++c) taps.push_back(c * in.block() + y * in.row() + x);
    return taps.data();
}

// Weights (rows, width) times what each input channel is multiplied by, the channels repeating: a gated input, and the
// input is not touched.
inline void gated(const float* weights, const float* gates, int64_t rows, int channels, int width, float* to) {
    for (int64_t row = 0; row < rows; ++row)
        for (int i = 0; i < width; i += LANES)
            store(to + row * width + i, load(weights + row * width + i) * gates[row % channels]);
}

inline void convolve(const Step& step, const Map* maps, const float* weights, float* arena, Share share) {
    Map in = maps[step.input], out = maps[step.output];
    Map shortcut = step.shortcut < 0 ? out : maps[step.shortcut];
    if (step.kernel == 1 && step.stride == 1 && !in.border && !out.border && !shortcut.border) {
        for (Map* map : {&in, &out, &shortcut}) map->width *= map->height, map->height = 1;  // one long row
    }
    const Pieces pieces(out.width, step.pixels);
    const int tiles = out.height * pieces.count, narrow = out.width / pieces.count;
    const int groups = (out.blocks() + step.blocks - 1) / step.blocks, last = out.blocks() - (groups - 1) * step.blocks;
    const int64_t depth = static_cast<int64_t>(step.kernel) * step.kernel * in.channels;
    const int64_t group_weights = depth * step.blocks * LANES;
    TileFunction functions[2][MAX_BLOCKS + 1];  // pieces differ by one pixel, the last group may have fewer blocks
    for (int blocks : {step.blocks, last})
        for (int more : {0, 1})
            functions[more][blocks] =
                narrow + more <= step.pixels ? tile_function(narrow + more, blocks, in.lanes, step.stride) : nullptr;

    // More weights than input: each member takes some output channels, so that it reads only their weights. Else each
    // takes some pixels.
    const bool by_group = group_weights * groups > static_cast<int64_t>(out.height) * out.width * in.channels &&
                          groups >= share.members;
    const float* gates = step.gate < 0 ? nullptr : maps[step.gate].at(arena, 0, 0, 0);
    thread_local std::vector<float> memory;
    float* scaled = gates ? room(memory, static_cast<size_t>(group_weights) * (by_group ? 1 : groups)) : nullptr;

    Tile tile;
    tile.taps = taps_of(in, step.kernel);
    tile.input_row = in.row(), tile.input_block = in.block();
    tile.output_block = out.block(), tile.shortcut_block = shortcut.block();
    tile.channels = in.channels, tile.kernel = step.kernel, tile.stride = step.stride;
    tile.activation = step.activation, tile.shortcut_last = step.shortcut_last;
    auto gate = [&](int group) {
        const int blocks = group + 1 < groups ? step.blocks : last;
        gated(weights + step.weights + group_weights * group, gates, depth, in.channels, blocks * LANES,
              scaled + (by_group ? 0 : group_weights * group));
    };
    auto compute = [&](int number, int group) {
        const int y = number / pieces.count, piece = number % pieces.count;
        const int x = pieces.start(piece), pixels = pieces.start(piece + 1) - x;
        const int block = group * step.blocks, blocks = group + 1 < groups ? step.blocks : last;
        tile.input = in.at(arena, 0, y * step.stride - step.before, x * step.stride - step.before);
        tile.weights = weights + step.weights + group_weights * group;
        if (gates) tile.weights = scaled + (by_group ? 0 : group_weights * group);
        tile.bias = weights + step.bias + block * LANES;
        tile.shortcut = step.shortcut < 0 ? nullptr : shortcut.at(arena, block, y, x);
        tile.output = out.at(arena, block, y, x);
        functions[pixels - narrow][blocks](tile);
    };
    if (by_group) {
        for (int group = share.first(groups); group < share.last(groups); ++group) {
            if (gates) gate(group);
            for (int number = 0; number < tiles; ++number) compute(number, group);
        }
        return;
    }
    const int first = share.first(tiles), end = share.last(tiles);
    for (int group = 0; gates && group < groups && first < end; ++group) gate(group);
    // A few tiles at a time pass all groups, so that their input is still near.
    const int64_t bytes = static_cast<int64_t>(step.pixels) * in.channels * 4;
    const int several = static_cast<int>(std::max<int64_t>(1, (128 << 10) / bytes));
    for (int start = first; start < end; start += several)
        for (int group = 0; group < groups; ++group)
            for (int number = start; number < std::min(end, start + several); ++number) compute(number, group);
}
