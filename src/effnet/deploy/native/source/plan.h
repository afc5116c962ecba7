// What Python hands over: feature maps and the steps between them. `library.py` mirrors both structs.
#pragma once

#include <cstdint>

#include "vectors.h"

// A feature map in memory: blocks of `lanes` channels, each block a picture of pixels of `lanes` floats, with `border`
// pixels of zeros on every side that no step writes.
struct Map {
    int64_t offset;  // in floats, into the arena of one image
    int32_t channels, height, width, border, lanes;

    int blocks() const { return (channels + lanes - 1) / lanes; }
    int64_t row() const { return static_cast<int64_t>(width + 2 * border) * lanes; }
    int64_t block() const { return row() * (height + 2 * border); }
    float* at(float* arena, int block_, int y, int x) const {
        return arena + offset + block_ * block() + (y + border) * row() + static_cast<int64_t>(x + border) * lanes;
    }
};

enum Kind : int32_t { CONVOLUTION, DEPTHWISE, SQUEEZE, SUM_ROWS, MEAN, MAX_POOL };

struct Step {
    Kind kind;
    int32_t input, output;
    int32_t shortcut, shortcut_last;  // map that is added, or -1; 1: added after the activation, not before
    Activation activation;
    int32_t kernel, stride, before;  // `before`: rows and columns of zeros above and to the left of the first pixel
    int32_t pixels, blocks;          // of one tile of the output
    int32_t sums;            // depthwise and squeeze: the map that holds sums of rows, or -1
    int32_t squeezed;                // channels inside squeeze-and-excitation
    int32_t winograd, strip;         // side of an output tile of Winograd's algorithm, or 0; how many tiles at once
    int32_t gate;                    // convolution: map of what each input channel is multiplied by, or -1
    int32_t joined;                  // 1: done by the next step, which is depthwise and reads nothing else
    int64_t weights, bias, expand_weights, expand_bias;  // in floats, into the weights
};
