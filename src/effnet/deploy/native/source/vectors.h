// One vector of floats, as wide as the processor computes at once, and the functions that are applied to it.
//
// GCC's and Clang's vector types compile to AVX-512, AVX2, SSE or NEON alike. Only AVX-512 has instructions of its own
// for what an activation needs, which halve its time.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define EFFNET_AVX512 1
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

// Loops over registers, which only exist when they are unrolled.
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef int32_t Whole __attribute__((vector_size(LANES * 4)));

enum Activation : int32_t { NONE, SILU, RELU, RELU6, HARD_SWISH, GELU, SIGMOID };

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }
inline Vector all(float value) { return value - Vector{}; }  // plus would turn -0 into 0: an addition, not a copy
#if EFFNET_AVX512
inline Vector smaller(Vector a, Vector b) { return _mm512_min_ps(a, b); }
inline Vector larger(Vector a, Vector b) { return _mm512_max_ps(a, b); }
#else
inline Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }
#endif

// Room for `floats` in a memory that only grows, at the start of a cache line.
inline float* room(std::vector<float>& memory, size_t floats) {
    constexpr size_t LINE = 64;
    if (memory.size() < floats + LINE / sizeof(float)) memory.resize(floats + LINE / sizeof(float));
    return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + LINE - 1) & ~uintptr_t{LINE - 1});
}

// e^x = 2^n * 2^f with n whole and f from 0 to 1; 2^f is the polynomial of least relative error (1.6e-7 in float32).
inline Vector exponential(Vector x) {
    const Vector scaled = x * 1.44269504088896341f;
#if EFFNET_AVX512
    const Vector f = _mm512_reduce_ps(scaled, 0x09);  // what is above the whole number below
#else
    const Vector limited = larger(smaller(scaled, all(126.0f)), all(-126.0f));
    const Vector magic = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number, left in the low bits
    const Vector shifted = (limited - 0.5f) + magic;
    const Vector f = limited - (shifted - magic);
#endif
    Vector p = all(0.0018775766948238015f);
    p = p * f + 0.008989340625703335f;
    p = p * f + 0.05582631751894951f;
    p = p * f + 0.24015361070632935f;
    p = p * f + 0.6931530833244324f;
    p = p * f + 0.9999999403953552f;
#if EFFNET_AVX512
    return _mm512_scalef_ps(p, scaled);
#else
    const Whole exponent = reinterpret_cast<Whole>(shifted) - reinterpret_cast<Whole>(magic);
    return reinterpret_cast<Vector>(reinterpret_cast<Whole>(p) + (exponent << 23));
#endif
}

inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

// x * Phi(x), Phi by the error function of Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7).
inline Vector gelu(Vector x) {
    const Vector z = x * 0.70710678118654752f;
    const Vector size = larger(z, -z);
    const Vector t = 1.0f / (1.0f + 0.3275911f * size);
    Vector p = all(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const Vector tail = p * t * exponential(-size * size);  // 1 - erf(|z|)
    return x * (z < 0 ? 0.5f * tail : 1.0f - 0.5f * tail);
}

inline Vector silu(Vector x) { return x / (1.0f + exponential(-x)); }
inline Vector relu(Vector x) { return larger(x, all(0.0f)); }
inline Vector relu6(Vector x) { return smaller(relu(x), all(6.0f)); }
inline Vector hard_swish(Vector x) { return x * relu6(x + 3.0f) * (1.0f / 6.0f); }

// Applies a function to `count` vectors in memory and returns their sum.
template <Vector (*Function)(Vector)>
Vector apply(float* values, int count) {
    Vector total{};
    for (int i = 0; i < count; ++i) {
        const Vector result = Function(load(values + i * LANES));
        store(values + i * LANES, result);
        total += result;
    }
    return total;
}

inline Vector same(Vector x) { return x; }

inline Vector activate(float* values, int count, Activation activation) {
    switch (activation) {
        case SILU: return apply<silu>(values, count);
        case RELU: return apply<relu>(values, count);
        case RELU6: return apply<relu6>(values, count);
        case HARD_SWISH: return apply<hard_swish>(values, count);
        case GELU: return apply<gelu>(values, count);
        case SIGMOID: return apply<sigmoid>(values, count);
        default: return apply<same>(values, count);
    }
}
