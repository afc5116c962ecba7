// A convolution and the depthwise convolution that reads it, a few rows at a time.
//
// An expanded map is the largest of its block, and at the early stages larger than the caches. Here it never exists: of
// some channels, the rows that the depthwise windows of eight output rows see are computed into a buffer that stays in
// the second cache, and the last of them are kept for the next eight.
#pragma once


#include "depthwise.h"

inline void convolve_inverted(const Step& expand, const Step& step, const Map* maps, const float* weights, float* arena,
                              Share share) {
    const Map &in = maps[expand.input], &wide = maps[expand.output], &out = maps[step.output];
    const int border = step.kernel - 1, rows = (ROWS - 1) * step.stride + step.kernel;
    const int64_t pitch = static_cast<int64_t>(wide.width + 2 * border) * LANES, plane = pitch * rows;
    thread_local std::vector<float> memory;
    float* buffer = room(memory, static_cast<size_t>(plane) * expand.blocks);
    for (int row = 0; row < rows * expand.blocks; ++row) {
        std::fill_n(buffer + row * pitch, border * LANES, 0.0f);
        std::fill_n(buffer + (row + 1) * pitch - border * LANES, border * LANES, 0.0f);
    }

    const Pieces wide_pieces(wide.width, expand.pixels), pieces(out.width, step.pixels);
    Tile tile{};
    tile.taps = taps_of(in, expand.kernel);
    tile.input_row = in.row(), tile.input_block = in.block(), tile.output_block = plane;
    tile.channels = in.channels, tile.kernel = expand.kernel, tile.stride = expand.stride;
    tile.activation = expand.activation;
    const int64_t depth = static_cast<int64_t>(expand.kernel) * expand.kernel * in.channels;
    DepthwiseTile narrow;
    narrow.input_row = pitch, narrow.kernel = step.kernel, narrow.stride = step.stride;
    narrow.activation = step.activation;

    const int strips = (out.height + ROWS - 1) / ROWS, groups = (out.blocks() + expand.blocks - 1) / expand.blocks;
    const int first_item = share.first(groups * strips), last_item = share.last(groups * strips);
    for (int item = first_item; item < last_item; ++item) {
        const int first = item / strips * expand.blocks, blocks = std::min(expand.blocks, out.blocks() - first);
        const int strip = item % strips, top = strip * ROWS, height = std::min(ROWS, out.height - top);
        const int from = top * step.stride - step.before, needed = (height - 1) * step.stride + step.kernel;
        int row = 0;
        if (strip > 0 && item > first_item && step.kernel > step.stride) {  // the last rows of the strip before
            row = step.kernel - step.stride;
            for (int b = 0; b < blocks; ++b)
                std::memmove(buffer + b * plane, buffer + b * plane + ROWS * step.stride * pitch, row * pitch * 4);
        }
        tile.weights = weights + expand.weights + depth * first * LANES;
        tile.bias = weights + expand.bias + first * LANES;
        for (; row < needed; ++row) {
            const int y = from + row;
            float* line = buffer + row * pitch + border * LANES;
            if (y < 0 || y >= wide.height) {
                for (int b = 0; b < blocks; ++b) std::fill_n(line + b * plane, wide.width * LANES, 0.0f);
                continue;
            }
            for (int piece = 0; piece < wide_pieces.count; ++piece) {
                const int x = wide_pieces.start(piece), pixels = wide_pieces.start(piece + 1) - x;
                tile.input = in.at(arena, 0, y * expand.stride - expand.before, x * expand.stride - expand.before);
                tile.output = line + x * LANES;
                tile_function(pixels, blocks, in.lanes, expand.stride)(tile);
            }
        }
        for (int b = 0; b < blocks; ++b) {
            const int block = first + b;
            narrow.weights = weights + step.weights + static_cast<int64_t>(block) * step.kernel * step.kernel * LANES;
            narrow.bias = load(weights + step.bias + block * LANES);
            Vector total{};
            for (int y = 0; y < height; ++y)
                for (int piece = 0; piece < pieces.count; ++piece) {
                    const int x = pieces.start(piece), pixels = pieces.start(piece + 1) - x;
                    narrow.input = buffer + b * plane + y * step.stride * pitch +
                                   static_cast<int64_t>(border - step.before + x * step.stride) * LANES;
                    narrow.output = out.at(arena, block, top + y, x);
                    total += depthwise_function(pixels, step.kernel, step.stride)(narrow);
                }
            if (step.sums >= 0) store(maps[step.sums].at(arena, block, 0, strip), total);
        }
    }
}
