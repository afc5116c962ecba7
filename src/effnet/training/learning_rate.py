"""The learning rate as a pure function of how far training has come, in epochs.

At `step` the rate is `scaled(rate_per_256, samples) * schedule.share_at(step / steps_per_epoch, epochs)`, times the
layer's multiplier. Nothing is remembered between steps, so a resumed run needs no scheduler state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from effnet.errors import InputError
from effnet.training.fields import bounded, prove

Decay = Literal["staircase", "cosine", "constant"]

# Steps such as 36 / 5 epochs over 2.4 are not exact in floats; without a tolerance a stair could come a step late.
_NOISE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How the rate rises and falls, as shares of the peak.

    Attributes:
        decay: `staircase` multiplies by `decay_rate` after every `decay_epochs` (V1 section 5.2, V2 section 5.1);
            `cosine` goes to 0 over the whole run (arXiv 1608.03983); `constant` stays at the peak.
        warmup_epochs: epochs of linear rise from 0. The decay counts from the first step all the same, as in the
            released code: after 5 epochs of warm-up the staircase goes on at its third step.
        decay_rate, decay_epochs: of the staircase.
        lowest: the share that decay does not fall below.
    """

    decay: Decay = "staircase"
    warmup_epochs: float = bounded(5.0, 0, 100_000)
    decay_rate: float = bounded(0.97, 0.0001, 1)
    decay_epochs: float = bounded(2.4, 0.001, 100_000)
    lowest: float = bounded(0.0, 0, 1)

    def __post_init__(self) -> None:
        """Refuse schedules that cannot be followed."""
        prove(self)

    def share_at(self, epoch: float, epochs: float) -> float:
        """Return the share of the peak, 0 to 1, at a position in a run of `epochs`.

        Args:
            epoch: epochs done, fractions included: `step / steps_per_epoch`.
            epochs: length of the run.

        Raises:
            InputError: the position is before the start or beyond the end.
        """
        if not 0 <= epoch <= epochs + _NOISE:
            raise InputError(
                f"epoch {epoch:g} of {epochs:g}", where="epoch", fix="give a position from 0 to the run's length"
            )
        if epoch < self.warmup_epochs - _NOISE:
            return epoch / self.warmup_epochs
        share = 1.0
        if self.decay == "staircase":
            share = self.decay_rate ** math.floor(epoch / self.decay_epochs + _NOISE)
        elif self.decay == "cosine":
            share = (1 + math.cos(math.pi * min(epoch / epochs, 1))) / 2
        return max(share, self.lowest)


def scaled(rate_per_256: float, samples: int) -> float:
    """Return the peak rate for an optimizer step over `samples`: linear in them (arXiv 1706.02677).

    Samples are the batch times accumulated batches times processes. V2's 0.016 per 256 is 0.256 at 4096.

    Raises:
        InputError: fewer than one sample.
    """
    if samples < 1:
        raise InputError(f"{samples} samples in a step", where="batch", fix="give at least 1")
    return rate_per_256 * samples / 256


def layer_multipliers(layers: int, decay: float) -> tuple[float, ...]:
    """Return each layer's share of the rate, from the input on: decay ** (layers above it); the last has 1.

    Fine-tuning moves early layers less (arXiv 1801.06146 section 3.2).

    Raises:
        InputError: no layers, or a decay that is not above 0 and at most 1.
    """
    if layers < 1:
        raise InputError(f"{layers} layers", where="layers", fix="give at least 1")
    if not 0 < decay <= 1:
        raise InputError(f"layer decay is {decay!r}", where="layer_decay", fix="give a number above 0, at most 1")
    return tuple(decay ** (layers - 1 - layer) for layer in range(layers))
