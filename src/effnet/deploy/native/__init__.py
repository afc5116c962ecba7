"""Our own engine for CPUs: a network's steps, compiled for the processor at hand, every loop with the shapes' own ends.

plan.py       a network as steps between maps, from `unroll(spec)`; what a bundle holds
proof.py      what the loops rely on, proved of a plan that may be anybody's
layout.py     where the maps lie in memory and how the loops are tiled, for one width of vectors
packing.py    weights in the order in which the loops read them
source/       the loops: C++ with the compilers' vector types, for AVX-512, AVX2, SSE and NEON
compiling.py  the library for this processor, compiled once and kept
library.py    Python's side of it
"""
