"""What a search maximises: accuracy, traded against one cost (Mnas section 3) or two (V2 section 3.2).

    soft   ACC * (COST / T) ** w                     w = -0.07
    hard   ACC                 where COST <= T       ACC * (COST / T) ** -1 elsewhere
    v2     ACC * S ** w * P ** v                     w = -0.07, v = -0.05; S, P over their targets

Why -0.07: doubling the latency usually buys about 5 % of relative accuracy, so networks along that trade are equally
good: a * (1 + 5 %) * 2 ** w = a (Mnas section 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from effnet.errors import InputError, UnknownNameError

CostKind = Literal["macs", "params", "memory", "latency", "step_time"]
Form = Literal["soft", "hard", "v2"]

UNITS: dict[CostKind, str] = {
    "macs": "multiply-accumulates",
    "params": "parameters",
    "memory": "bytes, weights and the most that is live at once",
    "latency": "ms for one image",
    "step_time": "ms for a training step",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A reward.

    Attributes:
        cost: what is traded against accuracy; `step_time` in the v2 form.
        target: T, in the cost's unit.
        form: see the module.
        weight: w.
        params_target: parameters that P is counted in, for the v2 form.
        params_weight: v.

    Raises:
        InputError: a target is not positive, or a weight rewards cost.
    """

    cost: CostKind = "macs"
    target: float
    form: Form = "soft"
    weight: float = -0.07
    params_target: float | None = None
    params_weight: float = -0.05

    def __post_init__(self) -> None:
        """Refuse rewards that mean nothing."""
        for name, kind, value in (("cost", CostKind, self.cost), ("form", Form, self.form)):
            if value not in get_args(kind):
                raise UnknownNameError.among(name, str(value), get_args(kind))
        for name, number in (("target", self.target), ("params_target", self.params_target)):
            if number is not None and not (isinstance(number, int | float) and 0 < number < math.inf):
                raise InputError(f"{name} is {number!r}", where=name, fix="give a positive number")
        for name, number in (("weight", self.weight), ("params_weight", self.params_weight)):
            if not -10 <= number <= 0:
                raise InputError(f"{name} {number:g} does not punish cost", where=name, fix="give -0.07, or 0 for none")
        if (self.form == "v2") != (self.params_target is not None):
            raise InputError(
                f"the {self.form} form {'needs' if self.form == 'v2' else 'has no'} params_target",
                where="params_target",
                fix="give the parameters of a network of the wanted size" if self.form == "v2" else "leave it out",
            )

    @property
    def kinds(self) -> tuple[CostKind, ...]:
        """The costs that the reward needs."""
        return (self.cost, "params") if self.form == "v2" and self.cost != "params" else (self.cost,)

    def reward(self, accuracy: float, costs: Mapping[str, float]) -> float:
        """Return the reward of a network.

        Args:
            accuracy: top-1, 0 to 1.
            costs: by kind, in the kinds' units.
        """
        ratio = costs[self.cost] / self.target
        if self.form == "hard":
            return accuracy if ratio <= 1 else accuracy / ratio
        traded = accuracy * float(ratio**self.weight)
        if self.form == "v2":
            assert self.params_target is not None
            traded *= float((costs["params"] / self.params_target) ** self.params_weight)
        return traded
