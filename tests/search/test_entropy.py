"""The closed-form score."""

from __future__ import annotations

import math

from effnet.families import find
from effnet.search.entropy import entropy

B0 = find("b0")


def test_more_of_everything_scores_more() -> None:
    score = entropy(B0)
    assert entropy(B0.with_stage(5, channels=160)) > score
    assert entropy(B0.with_stage(5, repeats=4)) > score
    assert entropy(B0.with_stage(5, expand_ratio=8.0)) > score
    assert entropy(B0.with_stage(5, kernel=7)) > score
    assert entropy(B0.replace(resolution=288)) > score


def test_what_entropy_does_not_see() -> None:
    assert entropy(B0.with_stage(5, se_ratio=0.0)) == entropy(B0)
    assert entropy(B0.replace(classes=10)) == entropy(B0)


def test_depth_without_width_is_cut() -> None:
    """Twenty times the layers at a few channels: the plain sum would grow twentyfold."""
    thin = B0
    for number in range(1, 8):
        thin = thin.with_stage(number, channels=8, repeats=1, expand_ratio=1.0)
    deep = thin
    for number in range(1, 8):
        deep = deep.with_stage(number, repeats=60)
    assert entropy(deep) < 20 * entropy(thin)


def test_every_family_has_a_score() -> None:
    for name in ("b7", "v2_s", "lite0", "resnet18", "resnet50", "edgetpu_s"):
        assert math.isfinite(entropy(find(name))) and entropy(find(name)) > 0
