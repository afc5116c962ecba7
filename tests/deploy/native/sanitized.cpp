// Runs plans of `forging.py` through the engine's own source, compiled with AddressSanitizer and UBSan.
//
// Standard input is a row of cases; before each its number is printed, so that a fault is known by the last number.
#include <cstdio>
#include <random>

#include <sanitizer/asan_interface.h>

#include "engine.cpp"

namespace {

struct Header {
    int32_t number, maps, steps, threads, images, gaps, weight_gaps, bytes;
    int64_t weights, arena;
};

struct Gap { int64_t start, floats; };

template <class T> std::vector<T> take(size_t count) {
    std::vector<T> values(count);
    if (count && std::fread(values.data(), sizeof(T), count, stdin) != count) std::exit(3);
    return values;
}

void poison(float* data, const std::vector<Gap>& gaps) {
    for (const Gap& gap : gaps) __asan_poison_memory_region(data + gap.start, static_cast<size_t>(gap.floats) * 4);
}

void unpoison(float* data, const std::vector<Gap>& gaps) {
    for (const Gap& gap : gaps) __asan_unpoison_memory_region(data + gap.start, static_cast<size_t>(gap.floats) * 4);
}

}  // namespace

int main(int, char**) {
    Header header;
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    while (std::fread(&header, sizeof header, 1, stdin) == 1) {
        std::printf("%d\n", header.number);
        std::fflush(stdout);
        const auto maps = take<Map>(header.maps);
        const auto steps = take<Step>(header.steps);
        const auto gaps = take<Gap>(header.gaps), weight_gaps = take<Gap>(header.weight_gaps);
        std::vector<float> weights(header.weights);
        for (float& value : weights) value = uniform(random);
        Engine engine(maps.data(), header.maps, steps.data(), header.steps, weights.data(), header.weights,
                      header.arena, header.threads, 100);
        while (static_cast<int>(engine.arenas.size()) < header.threads)
            engine.arenas.push_back(std::make_unique<Memory>(header.arena));
        for (auto& arena : engine.arenas) poison(arena->data, gaps);
        poison(engine.weights.data, weight_gaps);
        const size_t values = static_cast<size_t>(maps[0].channels) * maps[0].height * maps[0].width;
        std::vector<float> floats(header.bytes ? 0 : values * header.images);
        for (float& value : floats) value = uniform(random);
        std::vector<uint8_t> bytes(header.bytes ? values * header.images : 0, 200);
        std::vector<float> normalise(2 * static_cast<size_t>(maps[0].channels), 0.5f);
        std::vector<float> logits(static_cast<size_t>(maps.back().channels) * header.images);
        const void* images = header.bytes ? static_cast<const void*>(bytes.data()) : floats.data();
        if (effnet_run(&engine, images, header.images, header.bytes ? normalise.data() : nullptr, logits.data())) return 4;
        for (auto& arena : engine.arenas) unpoison(arena->data, gaps);
        unpoison(engine.weights.data, weight_gaps);
    }
    return 0;
}
