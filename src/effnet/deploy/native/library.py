"""Python's side of the compiled loops: what `plan.h` declares, and a network opened with them."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet.available_memory import available_memory
from effnet.deploy.native.layout import MAX_BLOCKS, MAX_PIXELS, Layout, Placed, Tile, Vectors
from effnet.deploy.native.packing import Packed, Places
from effnet.deploy.native.plan import ACTIVATIONS, KINDS, ROWS, Step
from effnet.errors import EffnetError, InputError


class _Map(ctypes.Structure):
    _fields_ = [
        ("offset", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("channels", "height", "width", "border", "lanes")),
    ]


class _Step(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_int32)
            for name in (
                *("kind", "input", "output", "shortcut", "shortcut_last", "activation", "kernel", "stride", "before"),
                *("pixels", "blocks", "sums", "squeezed", "winograd", "strip", "gate", "joined"),
            )
        ),
        *((name, ctypes.c_int64) for name in ("weights", "bias", "expand_weights", "expand_bias")),
    ]


class Library:
    """The functions of a compiled library, with their types.

    Attributes:
        vectors: what it was compiled for.
    """

    def __init__(self, compiled: ctypes.CDLL) -> None:
        pointer, whole, long = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
        self._compiled = compiled
        constants = (whole * 7)()
        compiled.effnet_constants.restype = None
        compiled.effnet_constants(constants)
        *agreed, lanes, registers = constants
        if agreed != [ctypes.sizeof(_Map), ctypes.sizeof(_Step), ROWS, MAX_PIXELS, MAX_BLOCKS]:
            raise EffnetError("the compiled loops and Python disagree", where="native engine", fix="report this")
        self.vectors = Vectors(lanes=lanes, registers=registers)
        compiled.effnet_open.restype = pointer
        compiled.effnet_open.argtypes = [pointer, whole, pointer, whole, pointer, long, long, whole, whole]
        compiled.effnet_close.restype = None
        compiled.effnet_close.argtypes = [pointer]
        compiled.effnet_run.restype = whole
        compiled.effnet_run.argtypes = [pointer, pointer, long, pointer, pointer]
        compiled.effnet_profile.restype = None
        compiled.effnet_profile.argtypes = [pointer, pointer]

    def open(self, layout: Layout, packed: Packed, threads: int, spins: int) -> Opened:
        """Return a network that is ready to run.

        Raises:
            InputError: the memory or the threads do not suffice.
        """
        wanted = (layout.floats + packed.floats.size) * 4
        if wanted > _memory():
            what = f"needs {wanted / 1e9:.1f} GB of memory, {_memory() / 1e9:.1f} GB are available"
            raise InputError(what, where="native engine", fix="use smaller images or a smaller network")
        maps = (_Map * len(layout.maps))(*(_map(placed) for placed in layout.maps))
        rows = zip(layout.plan.steps, layout.tiles, packed.places, strict=True)
        steps = (_Step * len(layout.tiles))(*(_step(step, tile, places) for step, tile, places in rows))
        weights = packed.floats
        handle = self._compiled.effnet_open(
            maps, len(maps), steps, len(steps), weights.ctypes.data, weights.size, layout.floats, threads, spins
        )
        if not handle:
            what = f"{wanted / 1e9:.1f} GB of memory or {threads} threads are more than there are"
            raise InputError(what, where="native engine", fix="use fewer threads or smaller images")
        return Opened(self._compiled, handle, layout.plan.maps[-1].channels, len(steps))


class Opened:
    """A network in the compiled library; freed with this value."""

    def __init__(self, compiled: ctypes.CDLL, handle: int, classes: int, steps: int) -> None:
        self._compiled, self._handle, self._classes, self._steps = compiled, handle, classes, steps
        weakref.finalize(self, _close, compiled, handle, os.getpid())

    def run(self, images: NDArray[Any], normalise: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Compute images (N, C, H, W) float32; or, with (mean, scale) of each channel, (N, H, W, C) uint8.

        Raises:
            InputError: the memory does not suffice.
        """
        logits = np.empty((len(images), self._classes), np.float32)
        pointer = None if normalise is None else normalise.ctypes.data
        if self._compiled.effnet_run(self._handle, images.ctypes.data, len(images), pointer, logits.ctypes.data):
            raise InputError(f"{len(images)} images do not fit in the memory", fix="use a smaller batch")
        return logits

    def profile(self) -> NDArray[np.float64]:
        """Return the seconds of each step on the last image, one after the other."""
        seconds = np.empty(self._steps, np.float64)
        self._compiled.effnet_profile(self._handle, seconds.ctypes.data)
        return seconds


def _close(compiled: ctypes.CDLL, handle: int, process: int) -> None:
    if os.getpid() == process:  # a forked process has a copy of the memory, but not the threads that closing waits for
        compiled.effnet_close(handle)


def _memory() -> int:
    """Return the bytes that this process may still take: filling more ends it, without an error."""
    return available_memory()


def _map(placed: Placed) -> _Map:
    shape = placed.shape
    return _Map(placed.offset, shape.channels, shape.height, shape.width, placed.border, placed.lanes)


def _step(step: Step, tile: Tile, places: Places) -> _Step:
    return _Step(
        kind=KINDS.index(step.kind),
        input=step.input,
        output=step.output,
        shortcut=-1 if step.shortcut is None else step.shortcut,
        shortcut_last=step.shortcut_last,
        activation=ACTIVATIONS.index(step.activation),
        kernel=step.kernel,
        stride=step.stride,
        before=step.before,
        pixels=tile.pixels,
        blocks=tile.blocks,
        winograd=tile.winograd,
        strip=tile.strip,
        gate=-1 if step.gate is None else step.gate,
        joined=tile.joined,
        sums=-1 if step.sums is None else step.sums,
        squeezed=step.squeezed,
        weights=places.weights,
        bias=places.bias,
        expand_weights=places.expand_weights,
        expand_bias=places.expand_bias,
    )
