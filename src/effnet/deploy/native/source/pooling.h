// Means, squeeze-and-excitation, max pool.
#pragma once


#include "depthwise.h"

// values[channel] of a small dense layer: weights (inputs, blocks * LANES), for blocks `first` to `last`.
inline void dense(const float* values, int inputs, const float* weights, const float* bias, int blocks, int first,
                  int last, Activation activation, float* results) {
    for (int block = first; block < last; block += 4) {
        const int some = std::min(4, last - block);
        Vector sums[4];
        for (int b = 0; b < some; ++b) sums[b] = load(bias + (block + b) * LANES);
        const float* row = weights + static_cast<int64_t>(block) * LANES;
        if (some == 4) {
            for (int c = 0; c < inputs; ++c, row += blocks * LANES)
                UNROLL for (int b = 0; b < 4; ++b) sums[b] += load(row + b * LANES) * values[c];
        } else {
            for (int c = 0; c < inputs; ++c, row += blocks * LANES)
                for (int b = 0; b < some; ++b) sums[b] += load(row + b * LANES) * values[c];
        }
        for (int b = 0; b < some; ++b) store(results + (block + b) * LANES, sums[b]);
        activate(results + block * LANES, some, activation);
    }
}

// gates = sigmoid(expand(activation(reduce(mean)))). Every member computes the small middle for itself, which is sooner
// done than waiting for the others.
inline void squeeze(const Step& step, const Map* maps, const float* weights, float* arena, Share share) {
    const Map &map = maps[step.input], &sums = maps[step.sums];
    const int blocks = map.blocks(), inner = (step.squeezed + LANES - 1) / LANES;
    thread_local std::vector<float> memory;
    float* means = room(memory, static_cast<size_t>(blocks + inner) * LANES);
    float* middle = means + blocks * LANES;
    const float share_of_one = 1.0f / (static_cast<float>(map.height) * map.width);
    for (int block = 0; block < blocks; ++block) {
        Vector total{};
        for (int strip = 0; strip < sums.width; ++strip) total += load(sums.at(arena, block, 0, strip));
        store(means + block * LANES, total * share_of_one);
    }
    dense(means, map.channels, weights + step.weights, weights + step.bias, inner, 0, inner, step.activation, middle);
    dense(middle, step.squeezed, weights + step.expand_weights, weights + step.expand_bias, blocks, share.first(blocks),
          share.last(blocks), SIGMOID, maps[step.output].at(arena, 0, 0, 0));
}

// Sums over `rows` rows at a time: one for each strip (output of one row), divided by `count`.
inline void sum_rows(const Map& in, const Map& out, int rows, float count, float* arena, Share share) {
    for (int block = share.first(in.blocks()); block < share.last(in.blocks()); ++block)
        for (int strip = 0; strip < out.width; ++strip) {
            Vector total{};
            for (int y = strip * rows; y < std::min(in.height, (strip + 1) * rows); ++y)
                for (int x = 0; x < in.width; ++x) total += load(in.at(arena, block, y, x));
            store(out.at(arena, block, 0, strip), total / count);
        }
}

inline void max_pool(const Step& step, const Map* maps, float* arena, Share share) {
    const Map &in = maps[step.input], &out = maps[step.output];
    const int items = out.blocks() * out.height;
    for (int item = share.first(items); item < share.last(items); ++item) {
        const int block = item / out.height, y = item % out.height;
        for (int x = 0; x < out.width; ++x) {
            Vector best = all(-3.4e38f);
            for (int ky = 0; ky < step.kernel; ++ky)
                for (int kx = 0; kx < step.kernel; ++kx) {
                    const int from_y = y * step.stride - step.before + ky, from_x = x * step.stride - step.before + kx;
                    if (from_y < 0 || from_y >= in.height || from_x < 0 || from_x >= in.width) continue;
                    best = larger(best, load(in.at(arena, block, from_y, from_x)));
                }
            store(out.at(arena, block, y, x), best);
        }
    }
}
