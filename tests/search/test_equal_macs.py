"""Networks of equal MACs along four axes."""

from __future__ import annotations

import pytest

from effnet.cost import cost
from effnet.errors import BudgetError, InputError
from effnet.families import find
from effnet.scaling import Coefficients, scale
from effnet.search.equal_macs import plan

B0 = find("b0")


def test_four_networks_of_b0_have_the_macs_of_v1_figure_8() -> None:
    found = plan(B0, [4.0])
    base, *four = found.networks
    assert base.spec == B0 and [network.axis for network in four] == ["depth", "width", "resolution", "compound"]
    macs = [cost(network.spec).macs for network in four]
    assert max(macs) / min(macs) - 1 == found.worst_mismatch <= 0.03
    assert 0.75 <= macs[0] / (4 * base.macs) <= 1.25
    assert [network.macs for network in four] == macs


def test_each_axis_changes_what_it_says() -> None:
    depth, width, resolution, compound = plan(B0, [2.0]).networks[1:]
    assert depth.spec.blocks > B0.blocks and depth.spec.resolution == 224
    assert [s.channels for s in depth.spec.stages] == [s.channels for s in B0.stages]
    assert width.spec.blocks == B0.blocks and width.spec.resolution == 224
    assert width.spec.stages[6].channels > B0.stages[6].channels
    assert resolution.spec.stages == B0.stages and resolution.spec.resolution > 224
    assert compound.spec.blocks > B0.blocks and compound.spec.resolution > 224
    assert compound.spec.stages[6].channels > B0.stages[6].channels
    for network in (depth, width, resolution):
        again = scale(B0, depth=network.depth, width=network.width, resolution=network.resolution)
        assert again.stages == network.spec.stages and again.resolution == network.spec.resolution


def test_compound_follows_the_coefficients_given() -> None:
    (compound,) = [
        n for n in plan(B0, [2.0], Coefficients(alpha=1.0, beta=1.4, gamma=1.0)).networks if n.axis == "compound"
    ]
    assert compound.spec.blocks == B0.blocks and compound.depth == 1.0


@pytest.mark.parametrize("multiples", [[1.0], [2.0, 2.0], [0.5], [1e9]])
def test_multiples_that_scale_nothing_are_refused(multiples: list[float]) -> None:
    with pytest.raises(InputError, match="multiples"):
        plan(B0, multiples)


def test_what_cannot_be_matched_is_named() -> None:
    tiny = B0.replace(resolution=64)
    with pytest.raises(BudgetError, match="differ by") as caught:
        plan(tiny, [2.0])
    assert caught.value.where in ("depth", "width", "resolution", "compound")
    assert plan(tiny, [2.0], tolerance=0.25).worst_mismatch > 0.03
