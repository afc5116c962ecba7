// A network as a list of steps, run on one image by a team of threads, or on one image per thread.
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "inverted.h"
#include "pooling.h"
#include "winograd.h"

namespace {

struct Memory {
#if defined(__SANITIZE_ADDRESS__)
    static constexpr int64_t PAGE = 64;  // nothing behind the last map that a sanitizer would not see
#else
    static constexpr int64_t PAGE = 2 << 20;
#endif
    explicit Memory(int64_t floats) : floats(floats) {
        const size_t bytes = static_cast<size_t>((floats * 4 + PAGE - 1) / PAGE * PAGE);
        data = static_cast<float*>(std::aligned_alloc(PAGE, bytes));
        if (!data) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        madvise(data, bytes, MADV_HUGEPAGE);  // a network walks through all of it: small pages would miss the TLB
#endif
        std::fill(data, data + floats, 0.0f);  // borders are zero from here on: no step writes them
    }
    ~Memory() { std::free(data); }
    Memory(const Memory&) = delete;
    float* data;
    const int64_t floats;
};

struct Engine {
    Engine(const Map* maps, int map_count, const Step* steps, int step_count, const float* weights,
           int64_t weight_count, int64_t arena_floats, int threads, int spins)
        : maps(maps, maps + map_count), steps(steps, steps + step_count), weights(weight_count),
          arena_floats(arena_floats), team(threads, spins) {
        std::copy(weights, weights + weight_count, this->weights.data);
        arenas.push_back(std::make_unique<Memory>(arena_floats));
    }

    std::vector<Map> maps;
    std::vector<Step> steps;
    Memory weights;
    const int64_t arena_floats;
    Team team;
    std::vector<std::unique_ptr<Memory>> arenas;
    std::atomic<bool> failed{false};  // a member found no memory for what a step works in
};

void do_step(size_t number, const Engine& engine, float* arena, Share share) {
    const Step& step = engine.steps[number];
    const bool joins = number > 0 && engine.steps[number - 1].joined;
    const Map* maps = engine.maps.data();
    const float* weights = engine.weights.data;
    switch (step.kind) {
        case CONVOLUTION:
            if (step.winograd == 2) return convolve_winograd<2>(step, maps, weights, arena, share);
            if (step.winograd == 4) return convolve_winograd<4>(step, maps, weights, arena, share);
            return convolve(step, maps, weights, arena, share);
        case DEPTHWISE:
            if (joins) return convolve_inverted(engine.steps[number - 1], step, maps, weights, arena, share);
            return convolve_depthwise(step, maps, weights, arena, share);
        case SQUEEZE: return squeeze(step, maps, weights, arena, share);
        case SUM_ROWS: return sum_rows(maps[step.input], maps[step.output], ROWS, 1.0f, arena, share);
        case MEAN: {
            const Map& in = maps[step.input];
            return sum_rows(in, maps[step.output], in.height, static_cast<float>(in.height) * in.width, arena, share);
        }
        case MAX_POOL: return max_pool(step, maps, arena, share);
    }
}

// The others wait at barriers, so that no member may leave a step by an exception.
void try_step(size_t number, Engine& engine, float* arena, Share share) {
    try {
        do_step(number, engine, arena, share);
    } catch (...) {
        engine.failed.store(true);
    }
}

// (C, H, W) floats, or (H, W, C) bytes that are normalised here, into the first map, whose lanes are 1.
void read_image(const Engine& engine, const void* images, int64_t image, const float* normalise, float* arena,
                Share share) {
    const Map& map = engine.maps[0];
    const int rows = map.channels * map.height;
    const int64_t offset = image * map.channels * map.height * map.width;
    for (int row = share.first(rows); row < share.last(rows); ++row) {
        const int c = row / map.height, y = row % map.height;
        float* to = map.at(arena, c, y, 0);
        if (!normalise) {
            const float* from = static_cast<const float*>(images) + offset + static_cast<int64_t>(row) * map.width;
            std::copy(from, from + map.width, to);
            continue;
        }
        const uint8_t* from = static_cast<const uint8_t*>(images) + offset;
        from += static_cast<int64_t>(y) * map.width * map.channels + c;
        const float mean = normalise[c], scale = normalise[map.channels + c];
        for (int x = 0; x < map.width; ++x) to[x] = (static_cast<float>(from[x * map.channels]) - mean) * scale;
    }
}

void write_logits(const Engine& engine, const float* arena, float* logits) {
    const Map& map = engine.maps.back();
    for (int c = 0; c < map.channels; ++c) logits[c] = arena[map.offset + c];
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// What both sides must agree on, and what Python lays a plan out for.
void effnet_constants(int32_t* to) {
    const int32_t constants[] = {sizeof(Map), sizeof(Step), ROWS, MAX_PIXELS, MAX_BLOCKS, LANES, REGISTERS};
    std::copy(std::begin(constants), std::end(constants), to);
}

void* effnet_open(const Map* maps, int32_t map_count, const Step* steps, int32_t step_count, const float* weights,
                  int64_t weight_count, int64_t arena_floats, int32_t threads, int32_t spins) {
    try {
        return new Engine(maps, map_count, steps, step_count, weights, weight_count, arena_floats, threads, spins);
    } catch (...) {
        return nullptr;
    }
}

void effnet_close(void* handle) { delete static_cast<Engine*>(handle); }

// Returns 0; 1 where the memory does not suffice.
int32_t effnet_run(void* handle, const void* images, int64_t count, const float* normalise, float* logits) {
    Engine& engine = *static_cast<Engine*>(handle);
    const int64_t classes = engine.maps.back().channels, members = engine.team.members;
    const int64_t alone = members > 1 && count >= members ? count / members * members : 0;
    try {
        while (alone && static_cast<int64_t>(engine.arenas.size()) < members)
            engine.arenas.push_back(std::make_unique<Memory>(engine.arena_floats));
    } catch (...) {
        return 1;
    }
    if (alone) {  // each member has images of its own: no waiting for each other
        engine.team.run([&](Share share) {
            float* arena = engine.arenas[share.index]->data;
            const Share whole{0, 1};
            for (int64_t image = alone / members * share.index; image < alone / members * (share.index + 1); ++image) {
                read_image(engine, images, image, normalise, arena, whole);
                for (size_t number = 0; number < engine.steps.size(); ++number)
                    if (!engine.steps[number].joined) try_step(number, engine, arena, whole);
                write_logits(engine, arena, logits + image * classes);
            }
        });
    }
    float* arena = engine.arenas[0]->data;
    for (int64_t image = alone; image < count; ++image) {
        engine.team.run([&](Share share) {
            read_image(engine, images, image, normalise, arena, share);
            engine.team.barrier.wait();
            for (size_t number = 0; number < engine.steps.size(); ++number) {
                if (engine.steps[number].joined) continue;
                try_step(number, engine, arena, share);
                engine.team.barrier.wait();
            }
        });
        write_logits(engine, arena, logits + image * classes);
    }
    return engine.failed.exchange(false);
}

// Seconds that each step takes on one image by the whole team, the last image given to `effnet_run`.
void effnet_profile(void* handle, double* seconds) {
    Engine& engine = *static_cast<Engine*>(handle);
    float* arena = engine.arenas[0]->data;
    for (size_t number = 0; number < engine.steps.size(); ++number) {
        const auto begun = std::chrono::steady_clock::now();
        engine.team.run([&](Share share) { if (!engine.steps[number].joined) try_step(number, engine, arena, share); });
        seconds[number] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    }
}
}
#pragma GCC visibility pop
