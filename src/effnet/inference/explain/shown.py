"""From explanations to the plain values of their page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from effnet.inference.explain.colours import overlay, reduced
from effnet.inference.explain.explanation import Explanation
from effnet.inference.explain.sheet import jpeg
from effnet.report.explanation import CheckShown, ImageShown, MapShown

_LONGEST = 480


def image_shown(explanations: Sequence[Explanation]) -> ImageShown:
    """Return one image with its maps.

    Args:
        explanations: of one image, at least one.
    """
    first = explanations[0]
    return ImageShown(
        name=Path(first.source or "image").name,
        picture=jpeg(reduced(first.image, None, _LONGEST)[0]),
        maps=[_map(explanation) for explanation in explanations],
    )


def _map(explanation: Explanation) -> MapShown:
    return MapShown(
        picture=jpeg(explanation.overlay(longest=_LONGEST)),
        model=explanation.model,
        label=explanation.target.label,
        probability=explanation.target.probability,
        method=explanation.method,
        stage=explanation.stage,
        low=float(explanation.heat.min()),
        high=float(explanation.heat.max()),
        check=_check(explanation),
    )


def _check(explanation: Explanation) -> CheckShown | None:
    check = explanation.check
    if check is None:
        return None
    covered = overlay(explanation.image, check.occlusion, window=explanation.window, longest=_LONGEST)
    return CheckShown(
        picture=jpeg(covered),
        rank_correlation=check.rank_correlation,
        deletion=check.deletion,
        random_deletion=check.random_deletion,
        insertion=check.insertion,
        random_insertion=check.random_insertion,
        randomised=check.randomised,
        verdict=check.verdict,
    )
