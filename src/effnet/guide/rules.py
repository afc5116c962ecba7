"""The rules: when each applies, how many points it gives to which network, why, and who says so.

Points add up. Ten is the lecture's own choice for a goal; a rule that should overrule a goal gives or takes about as
much. Nothing here is a limit: limits are the person's, and are kept exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from effnet.guide.candidates import Candidate
from effnet.guide.situation import Situation

Points: TypeAlias = Mapping[str, float] | Callable[[Situation, Candidate], float]

_V1 = {f"B{i}": f"efficientnet_b{i}" for i in range(8)}
_V2 = {f"V2-{s}": f"efficientnetv2_{s.lower()}" for s in ("S", "M", "L", "B0", "B1", "B2", "B3")}
_LITE = {f"Lite{i}": f"efficientnet_lite{i}" for i in range(5)}
_TPU = {f"EdgeTPU-{s}": f"efficientnet_edgetpu_{s.lower()}" for s in "SML"}
_NAMES = {**_V1, **_V2, **_LITE, **_TPU}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One piece of advice.

    Attributes:
        name: a short one, for scripts.
        when: the situations that it is for.
        points: to networks by canonical name, or a function of the network.
        reason: why, in a clause.
        source: who says so: a paper, the lecture, or a measurement.
        contrary: a measurement that disagrees; None: none is known.
    """

    name: str
    when: Callable[[Situation], bool]
    points: Points
    reason: str
    source: str
    contrary: str | None = None

    def give(self, situation: Situation, candidate: Candidate) -> float:
        """Return the points for a network; 0 where the rule does not apply."""
        if not self.when(situation):
            return 0.0
        if callable(self.points):
            return self.points(situation, candidate)
        return self.points.get(candidate.name, 0.0)


def _table(**points: float) -> dict[str, float]:
    return {_NAMES[label.replace("_", "-")]: value for label, value in points.items()}


def _images(low: int, high: float) -> Callable[[Situation], bool]:
    return lambda s: s.images is not None and low <= s.images < high


def _beyond_the_images(situation: Situation, candidate: Candidate) -> float:
    """Take points for resolution that the images do not have."""
    if situation.image_side is None or situation.tiny:
        return 0.0
    beyond = candidate.spec.resolution / situation.image_side
    return -min(10.0, 6.0 * (beyond - 1)) if beyond > 1.25 else 0.0


def _training_work(situation: Situation, candidate: Candidate) -> float:
    """Take points for every doubling of the work over B0's: two where accuracy is the goal, else three."""
    return (-2.0 if situation.goal == "best" else -3.0) * max(0.0, math.log2(candidate.train_macs / 386e6))


_LECTURE = "the lecture's guide"
_PROTOTYPE = _table(B0=10, B1=7, Lite0=7, V2_B0=7, Lite1=5, B2=5, V2_B1=5, Lite2=4, EdgeTPU_S=3, B3=2)
_BALANCED = _table(
    B3=10, B4=9, B2=7, V2_B3=7, V2_S=7, B1=5, Lite4=5, V2_B2=5, Lite3=4, V2_B1=4, B5=4, B0=3, V2_B0=3, Lite2=3,
    EdgeTPU_L=3, EdgeTPU_M=3, Lite1=2, Lite0=1, B6=2, V2_M=2, EdgeTPU_S=2,
)  # fmt: skip
_BEST = _table(
    B7=10, B6=9.5, B5=9, V2_M=9, V2_L=9, V2_S=8, B4=7, B3=5.5, V2_B3=5, B2=4, Lite4=4, V2_B2=3.5, Lite3=3, B1=2.5,
    EdgeTPU_L=2.5, V2_B1=2, Lite2=2, B0=1, V2_B0=1, Lite1=1, EdgeTPU_M=1,
)  # fmt: skip
_FAST = _table(V2_S=10, V2_B3=7, V2_B2=7, V2_B1=7, V2_B0=7, V2_M=6, Lite0=5, B0=5, V2_L=4, Lite1=4, B1=4, B2=2)
_FEW = _table(
    B0=6, B1=6, B2=6, Lite0=5, Lite1=5, Lite2=5, V2_B0=5, V2_B1=5, V2_B2=5, B3=2, Lite3=2, V2_B3=2, V2_S=-2, B4=-3,
    B5=-7, V2_M=-8, B6=-9, B7=-10, V2_L=-10,
)  # fmt: skip
_THOUSANDS = _table(
    B2=3, B3=3, V2_B3=3, B0=2, B1=2, V2_B2=2, V2_S=2, Lite2=2, Lite3=2, B4=1, B5=-3, V2_M=-3, B6=-5, V2_L=-6, B7=-7,
)  # fmt: skip
_TENS_OF_THOUSANDS = _table(V2_S=3, B3=2, B4=2, B5=1, V2_M=1, B6=-1, V2_L=-1, B7=-2)
_MANY = _table(V2_M=4, V2_L=4, V2_S=3, B4=1, B5=-1, B6=-2, B7=-3)
_TINY = _table(
    B0=7, V2_B0=5, Lite0=5, B1=3, V2_B1=3, Lite1=2, B2=1, V2_B3=-3, B3=-4, Lite3=-4, V2_S=-4, EdgeTPU_L=-5, B4=-6,
    Lite4=-6, V2_M=-8, B5=-8, B6=-9, V2_L=-10, B7=-10,
)  # fmt: skip
_LITE_FIRST = _table(Lite0=9, Lite1=9, Lite2=9, Lite3=9, Lite4=9, EdgeTPU_S=2)
_EDGETPU_FIRST = _table(EdgeTPU_S=12, EdgeTPU_M=12, EdgeTPU_L=11, Lite0=4, Lite1=4, Lite2=4, Lite3=3, Lite4=2)
_ON_GPU = _table(V2_S=2, V2_M=2, V2_L=2, V2_B0=1, V2_B1=1, V2_B2=1, V2_B3=1)
_SQUEEZED = (*_V1.values(), *_V2.values())

RULES: tuple[Rule, ...] = (
    Rule(
        name="prototype",
        when=lambda s: s.goal == "prototype",
        points=_PROTOTYPE,
        reason="a prototype wants the shortest way to an answer, and B0 is what everything else is scaled from",
        source=f"{_LECTURE}: B0 for a prototype",
    ),
    Rule(
        name="balanced",
        when=lambda s: s.goal == "balanced",
        points=_BALANCED,
        reason="in the middle of the curve a point of accuracy is still cheap",
        source=f"{_LECTURE}: B3-B4 in general",
    ),
    Rule(
        name="best",
        when=lambda s: s.goal == "best",
        points=_BEST,
        reason="the largest networks score highest where data, memory and time allow them",
        source=f"{_LECTURE}: B5-B7 for the best accuracy",
    ),
    Rule(
        name="fast-training",
        when=lambda s: s.goal == "fast-training",
        points=_FAST,
        reason="fused blocks and smaller training images: V2-S trains in 7.1 hours where B4 takes 21",
        source=f"{_LECTURE}: V2-S for training speed; V2 Table 7",
    ),
    Rule(
        name="few-images",
        when=_images(1, 2_000),
        points=_FEW,
        reason="few images: B0-B2 learn all that is in them, larger networks learn them by heart and take longer",
        source=f"{_LECTURE}: bigger is not always better; what `effnet train` decides by",
        contrary="on 244 photographs of ants and bees the larger of two small networks was better: Lite2 96.7 %, Lite0 "
        "94.6 % after the last epoch, means of 3 seeds (benchmarks/results/finetune_accuracy_hymenoptera.json)",
    ),
    Rule(
        name="thousands-of-images",
        when=_images(2_000, 10_000),
        points=_THOUSANDS,
        reason="thousands of images are enough for a middle-sized network, not for the largest",
        source="V1 Table 5: on Flowers (2,040 images) B5 already equals the best of the others",
    ),
    Rule(
        name="tens-of-thousands-of-images",
        when=_images(10_000, 100_000),
        points=_TENS_OF_THOUSANDS,
        reason="tens of thousands of images feed B3-B5 and V2-S",
        source="V1 Table 5 and V2 Table 8: the gains beyond are tenths of a point on CIFAR and Food-101",
    ),
    Rule(
        name="many-images",
        when=_images(100_000, math.inf),
        points=_MANY,
        reason="with so many images training time decides: V2-M trains eleven times as fast as B7 and scores higher",
        source="V2 Table 7: 13 hours and 85.1 % against 139 hours and 84.7 %",
    ),
    Rule(
        name="tiny-images",
        when=lambda s: s.tiny,
        points=_TINY,
        reason="an EfficientNet divides its input by 32: such images leave a pixel or two for a deep network to see",
        source="the recipe `small`; V1 Table 1",
    ),
    Rule(
        name="native-resolution",
        when=lambda s: s.image_side is not None and not s.tiny,
        points=_beyond_the_images,
        reason="its native resolution is more than the images hold: enlarging them costs and adds nothing",
        source=f"{_LECTURE}: keep the native resolution",
    ),
    Rule(
        name="trained-on-cpu",
        when=lambda s: s.trained_on == "cpu",
        points=_training_work,
        reason="without an accelerator the work of training decides: B0 learns from ten images a second on two cores",
        source="benchmarks/results/training_step.json",
    ),
    Rule(
        name="runs-on-mobile",
        when=lambda s: s.target == "mobile",
        points=_LITE_FIRST | dict.fromkeys(_SQUEEZED, -5.0),
        reason="no squeeze-and-excitation, ReLU6: Lite runs on phones' accelerators and quantises well",
        source="tensorflow/tpu lite/README.md: Lite0 75.1 % in float, 74.4 % in int8",
    ),
    Rule(
        name="runs-on-edgetpu",
        when=lambda s: s.target == "edgetpu",
        points=_EDGETPU_FIRST | dict.fromkeys(_SQUEEZED, -6.0),
        reason="found by search for this chip: plain convolutions keep it busy where depthwise ones do not",
        source="tensorflow/tpu edgetpu/README.md",
    ),
    Rule(
        name="made-for-other-chips",
        when=lambda s: s.target not in ("edgetpu", "mobile"),
        points=_table(EdgeTPU_S=-8, EdgeTPU_M=-8, EdgeTPU_L=-8),
        reason="made for the Edge TPU: four to eight times the MACs of its equals elsewhere",
        source="V1 Table 2 and tensorflow/tpu edgetpu/README.md, MACs counted",
    ),
    Rule(
        name="made-for-phones",
        when=lambda s: s.target in ("any", "gpu"),
        points=_table(Lite0=-2, Lite1=-2, Lite2=-2, Lite3=-2, Lite4=-2),
        reason="Lite gives up one to two points of accuracy for phones",
        source="tensorflow/tpu lite/README.md against V1 Table 2",
    ),
    Rule(
        name="runs-on-cpu",
        when=lambda s: s.target == "cpu",
        points=_table(Lite0=3, Lite1=3, Lite2=3, Lite3=3, Lite4=3),
        reason="on a CPU Lite is half as fast again as its equal among B0-B4",
        source="timm's benchmark on an i9-10940X, one image: Lite0 143, B0 88 images a second",
    ),
    Rule(
        name="runs-on-gpu",
        when=lambda s: s.target == "gpu",
        points=_ON_GPU,
        reason="fused blocks suit a GPU: V2-S passes 1,634 images a second where B4 passes 990, and scores higher",
        source="timm's benchmark on an RTX 4090, AMP",
    ),
)
"""Every rule, in the order in which reasons are told."""
