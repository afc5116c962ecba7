"""Triton programs and their launchers. Importing a module here imports Triton; operators do so when one first runs.

Maps are channels last: a row is one pixel, its channels lie side by side. Every sum is taken in two steps, parts by
program and then over the programs, without atomics, so that the same input gives the same bits.
"""
