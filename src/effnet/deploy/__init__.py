"""From a trained network to a small file that runs without torch, with the proof that it computes the same.

Importing this package imports nothing: `manifest`, `certificate` and `bundle` stay free of torch, so that a machine
that only serves a bundle starts at once.
"""
