"""What a network costs, in closed form and without torch: parameters, MACs, activations, bytes moved, memory.

    >>> import effnet
    >>> effnet.cost_of(effnet.find("b0")).macs
    385814752

A row (`LayerCost`) is one convolution or linear unit with the norm, activation and residual sum that belong to it. A
network's cost is the sum of its rows, or the maximum for live memory. tests/agreement compares every row with the
torch module of the same name.

**MACs** are multiply-accumulates of convolutions (those inside squeeze-and-excitation too) and of the classifier, for
one image. Norms, activations, pools, biases and sums are not counted. What the papers call FLOPs are these MACs.

**Activations** are output elements of the same layers, for one image (arXiv 2003.13678 section 3.2; `acts` in pycls,
`macts` in timm).

**Bytes read and written** are the least a machine must move when each unit is one fused kernel: its input, parameters,
norm statistics and the shortcut it adds are read once, its output is written once. Squeeze-and-excitation reads its
map twice: to pool it and to scale it.

**Live bytes** are the tensors that eager PyTorch holds, weights apart, while a unit of the network with folded norms
(`effnet.nn.fold_norms`) runs in inference: the images, the inputs of the current stage, block and unit, and the unit's
own. Activations work in place (but GELU); SAME padding of a strided convolution is a padded copy. What a convolution
kernel allocates inside is not part of it.

**Saved bytes** are what a unit, its norm not folded, keeps from the forward pass for the backward pass: inputs of
convolutions and norms, batch statistics (always float32), an activation's input (ReLU: its output), masks. Gradients
of activations, alive for a moment in the backward pass, are not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from effnet.errors import InputError, UnknownNameError
from effnet.spec import NetworkSpec
from effnet.unrolling import Block, Unrolled, strided, unroll

Dtype = Literal["float32", "float16", "bfloat16", "int8"]
Kind = Literal["conv", "depthwise", "squeeze_excite", "max_pool", "avg_pool", "linear"]
Shape = tuple[int, int, int]

_BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
_STATISTIC = 4  # bytes of a batch mean or deviation that training saves, whatever the dtype
_INDEX = 8  # bytes of a max pool's index
_OPTIMIZER_SLOTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """One unit of the network. Bytes are for the batch and dtype asked for, all else for one image.

    Attributes:
        name: path of the torch module in `Network`, such as `features.3.1.block.1`.
        kind: what it computes.
        kernel, stride: of its window; 1 where it has none.
        in_shape, out_shape: (C, H, W).
        params: trainable elements.
        buffers: running means and variances.
        macs, activations, bytes_read, bytes_written, live_bytes, saved_bytes: see the module.
    """

    name: str
    kind: Kind
    kernel: int
    stride: int
    in_shape: Shape
    out_shape: Shape
    params: int
    buffers: int
    macs: int
    activations: int
    bytes_read: int
    bytes_written: int
    live_bytes: int
    saved_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCost:
    """The whole network at one resolution, batch and dtype; terms are defined in the module.

    Attributes:
        params: trainable elements, exact.
        buffers: running means and variances, exact.
        macs, activations: for one image.
        bytes_read, bytes_written: for the batch.
        peak_inference_bytes: the most that is live at once, weights apart.
        training_bytes: saved for the backward pass, weights apart; None for int8, in which nobody trains.
        layers: the rows, in the order in which they run.
    """

    resolution: int
    batch: int
    dtype: Dtype
    params: int
    buffers: int
    macs: int
    activations: int
    bytes_read: int
    bytes_written: int
    peak_inference_bytes: int
    training_bytes: int | None
    layers: tuple[LayerCost, ...]

    @property
    def weight_bytes(self) -> int:
        """Parameters and running statistics."""
        return (self.params + self.buffers) * _BYTES[self.dtype]

    @property
    def gradient_bytes(self) -> int:
        """One gradient a parameter."""
        return self.params * _BYTES[self.dtype]

    @property
    def optimizer_bytes(self) -> int:
        """Two values a parameter: RMSProp with momentum, as in both papers; Adam has as many."""
        return _OPTIMIZER_SLOTS * self.gradient_bytes

    @property
    def total_inference_bytes(self) -> int:
        """Weights and live tensors: what a device must hold to run the network."""
        return self.weight_bytes + self.peak_inference_bytes

    @property
    def total_training_bytes(self) -> int | None:
        """Saved tensors, weights, gradients and optimizer state; None for int8."""
        if self.training_bytes is None:
            return None
        return self.training_bytes + self.weight_bytes + self.gradient_bytes + self.optimizer_bytes


def cost(spec: NetworkSpec, resolution: int | None = None, batch: int = 1, dtype: Dtype = "float32") -> NetworkCost:
    """Return what `spec` costs for a batch of square images.

    Args:
        spec: the network.
        resolution: input side in pixels; the spec's own when None.
        batch: images at once.
        dtype: of every tensor: the network is cast whole.

    Raises:
        InputError, UnknownNameError: an argument is out of range.
    """
    unrolled = unroll(spec, resolution)
    layers = _layers(unrolled, batch, dtype)
    return NetworkCost(
        resolution=unrolled.resolution,
        batch=batch,
        dtype=dtype,
        params=sum(layer.params for layer in layers),
        buffers=sum(layer.buffers for layer in layers),
        macs=sum(layer.macs for layer in layers),
        activations=sum(layer.activations for layer in layers),
        bytes_read=sum(layer.bytes_read for layer in layers),
        bytes_written=sum(layer.bytes_written for layer in layers),
        peak_inference_bytes=max(layer.live_bytes for layer in layers),
        training_bytes=None if dtype == "int8" else sum(layer.saved_bytes for layer in layers),
        layers=tuple(layers),
    )


def _layers(unrolled: Unrolled, batch: int, dtype: Dtype) -> list[LayerCost]:
    if dtype not in _BYTES:
        raise UnknownNameError.among("dtype", str(dtype), get_args(Dtype), see=f"known: {', '.join(_BYTES)}")
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 1 << 20:
        raise InputError(f"batch {batch!r}", fix="give a whole number of images from 1 to 1048576")
    spec = unrolled.spec
    walk = _Walk(spec, batch, _BYTES[dtype], unrolled.resolution)
    walk.conv("features.0", spec.stem.channels, spec.stem.kernel, spec.stem.stride)
    if spec.stem.pool:
        walk.max_pool("features.0.3")
    for block in unrolled.blocks:
        walk.same = spec.conventions.padding_in(block.kind) == "same"
        if block.kind in ("basic", "bottleneck"):
            walk.residual(block)
        else:
            walk.inverted(block)
    if spec.head.channels is not None:
        walk.enter(first=True)
        walk.conv(f"features.{len(spec.stages) + 1}", spec.head.channels)
    walk.classify(spec.classes, spec.head.dropout)
    return walk.rows


class _Walk:
    """Follows one batch through the network and writes down a row at each unit.

    `channels`, `side` and `elements` (of the whole batch) describe the tensor that flows; `kept` says whether it is
    already saved for the backward pass. `held` counts what the frames outside the current unit keep alive, `loose`
    the unit's input when it is not among that.
    """

    def __init__(self, spec: NetworkSpec, batch: int, size: int, resolution: int) -> None:
        self.rows: list[LayerCost] = []
        self.batch, self.size = batch, size
        self.same = spec.conventions.padding == "same"
        self.saves_result = spec.conventions.activation == "relu"
        self.in_place = spec.conventions.activation != "gelu"
        self.channels, self.side, self.kept = spec.in_channels, resolution, False
        self.elements = self.images = self.held = batch * spec.in_channels * resolution * resolution
        self.stage_input = self.loose = 0

    def enter(self, first: bool) -> None:
        """Begin a block (`first` of its stage) or the head; its input and the stage's stay alive to their ends."""
        if first:
            self.stage_input = self.elements
        self.held = self.images + self.stage_input + (0 if first else self.elements)
        self.loose = 0

    def inverted(self, block: Block) -> None:
        """MBConv and Fused-MBConv: expand, filter, squeeze, project."""
        self.enter(block.index == 0)
        path, position = f"features.{block.stage}.{block.index}.block", 0
        depthwise = block.kind == "mbconv"
        added = self.elements if block.residual else 0  # as many as the output has
        drawn = self.batch if block.residual and block.drop_path else 0  # drop path keeps one draw an image
        single = block.kind == "fused_mbconv" and not block.expands
        if depthwise and block.expands:
            self.conv(f"{path}.{position}", block.mid_channels)
            position += 1
        if not single:
            self.conv(f"{path}.{position}", block.mid_channels, block.kernel, block.stride, depthwise=depthwise)
            position += 1
        if block.squeeze_channels:
            self.squeeze_excite(f"{path}.{position}", block.squeeze_channels)
            position += 1
        window = (block.kernel, block.stride) if single else (1, 1)
        self.conv(
            f"{path}.{position}", block.out_channels, *window, act=single, added=added, joined=2 * added, saved=drawn
        )
        if block.residual:
            self.kept = False  # the sum is a new tensor

    def residual(self, block: Block) -> None:
        """ResNet's blocks: two or three convolutions, the shortcut, and the activation after their sum."""
        self.enter(block.index == 0)
        path = f"features.{block.stage}.{block.index}"
        channels, side, kept = self.channels, self.side, self.kept
        added = self.elements if block.residual else 0
        out = self.batch * block.out_channels * block.out_size * block.out_size
        last = out + (self.batch if block.drop_path else 0)  # the activation after the sum, and drop path's draws
        if block.kind == "basic":
            self.conv(f"{path}.block.0", block.mid_channels, block.kernel, block.stride)
            kept = kept or not self._pads(block.stride)
            final, kernel = f"{path}.block.1", block.kernel
        else:
            self.conv(f"{path}.block.0", block.mid_channels)
            self.conv(f"{path}.block.1", block.mid_channels, block.kernel, block.stride)
            kept = True
            final, kernel = f"{path}.block.2", 1
        joined = 2 * out if block.residual or not self.in_place else 0
        if block.projects_shortcut:
            self.conv(final, block.out_channels, kernel, act=False)
            self.held += out
            self._flow(channels, side, kept)
            self.loose = 0
            final = f"{path}.shortcut"
            self.conv(final, block.out_channels, 1, block.stride, act=False, added=out, joined=joined, saved=last)
        else:
            self.conv(final, block.out_channels, kernel, act=False, added=added, joined=joined, saved=last)
        self.kept = self.saves_result

    def conv(
        self,
        name: str,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        depthwise: bool = False,
        act: bool = True,
        added: int = 0,
        joined: int = 0,
        saved: int = 0,
    ) -> None:
        """Convolution, norm, activation, and what the block does with their output.

        Then `added` elements of shortcut are read, `joined` are alive in place of the unit's own, and `saved` more
        are kept for training.
        """
        side = strided(self.side, stride)
        weights = kernel * kernel * channels * (1 if depthwise else self.channels)
        out = self.batch * channels * side * side
        if self._pads(stride):
            padded = max((side - 1) * stride + kernel, self.side)
            copied = self.batch * self.channels * padded * padded
            live, saved = copied + out, saved + copied
        else:
            live, saved = out, saved + self._unsaved
        if act and not self.in_place:
            live = max(live, 2 * out)
        self._row(
            name,
            "depthwise" if depthwise else "conv",
            (channels, side),
            (kernel, stride),
            params=weights + 2 * channels,
            buffers=2 * channels,
            macs=weights * side * side,
            activations=channels * side * side,
            read=self.elements + added,
            live=max(live, joined - self.loose),
            saved=saved + out + (out if act else 0),
            other=2 * channels * _STATISTIC,
        )
        self.kept = act and self.saves_result

    def squeeze_excite(self, name: str, squeezed: int) -> None:
        """Pool, two biased 1x1 convolutions, scale."""
        wide, narrow = self.batch * self.channels, self.batch * squeezed
        vectors = max(wide + narrow, 2 * wide, 0 if self.in_place else 2 * narrow)
        macs = 2 * self.channels * squeezed
        self._row(
            name,
            "squeeze_excite",
            (self.channels, self.side),
            params=macs + self.channels + squeezed,
            macs=macs,
            activations=self.channels + squeezed,
            read=2 * self.elements,
            live=max(wide + self.elements, vectors),
            saved=self._unsaved + 2 * wide + narrow * (1 if self.saves_result else 2),
        )

    def max_pool(self, name: str) -> None:
        """3x3, stride 2."""
        side = strided(self.side, 2)
        out = self.batch * self.channels * side * side
        to, saved = (self.channels, side), self._unsaved
        self._row(name, "max_pool", to, (3, 2), read=self.elements, live=out, saved=saved, other=_INDEX * out)

    def classify(self, classes: int, dropout: float) -> None:
        """Global average pool, dropout, linear."""
        self.held = self.images
        features, pooled = self.channels, self.batch * self.channels
        # The pool's gradient needs nothing; dropout's needs its mask.
        mask = pooled if dropout else 0
        self._row("avgpool", "avg_pool", (features, 1), (self.side, 1), read=self.elements, live=pooled, saved=mask)
        if classes:
            self._row(
                "classifier.1",
                "linear",
                (classes, 1),
                params=(features + 1) * classes,
                macs=features * classes,
                activations=classes,
                read=pooled,
                live=self.batch * classes,
                saved=pooled,
            )

    def _row(
        self,
        name: str,
        kind: Kind,
        to: tuple[int, int],
        window: tuple[int, int] = (1, 1),
        *,
        params: int = 0,
        buffers: int = 0,
        macs: int = 0,
        activations: int = 0,
        read: int,
        live: int,
        saved: int = 0,
        other: int = 0,
    ) -> None:
        """Write a row from counts of elements and flow on `to` new channels and side.

        `other` is bytes saved in types of their own.
        """
        before, loose, (channels, side) = (self.channels, self.side, self.side), self.loose, to
        self._flow(channels, side)
        row = LayerCost(
            name=name,
            kind=kind,
            kernel=window[0],
            stride=window[1],
            in_shape=before,
            out_shape=(channels, side, side),
            params=params,
            buffers=buffers,
            macs=macs,
            activations=activations,
            bytes_read=(read + params + buffers) * self.size,
            bytes_written=self.elements * self.size,
            live_bytes=(self.held + loose + live) * self.size,
            saved_bytes=saved * self.size + other,
        )
        self.rows.append(row)

    @property
    def _unsaved(self) -> int:
        return 0 if self.kept else self.elements

    def _pads(self, stride: int) -> bool:
        return self.same and stride > 1

    def _flow(self, channels: int, side: int, kept: bool = False) -> None:
        self.channels, self.side, self.kept = channels, side, kept
        self.elements = self.loose = self.batch * channels * side * side
