"""The certificate: its verdict follows from its figures, and damage is noticed."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.deploy.certificate import Accuracy, Certificate, Parity, Work
from effnet.errors import EffnetError, WeightsError
from tests.deploy.bundles import certificate
from tests.deploy.test_manifest import JUNK

ROW = certificate().parity[0]


def test_every_field_survives() -> None:
    for whole in (certificate(), certificate(tolerance=None, accuracy=None, latency=())):
        assert Certificate.from_json(whole.to_json()) == whole
        assert json.loads(whole.to_json())["passed"] is True


@given(st.integers(1, 2000), st.data())
def test_a_drop_of_exactly_what_is_allowed_passes(images: int, data: st.DataObject) -> None:
    """The gate lets it through, so the certificate must not refuse what floats make of the difference."""
    right = data.draw(st.integers(0, images))
    lost = data.draw(st.integers(0, right))
    top1, allowed = 100 * np.mean(np.arange(images) < right), 100 * lost / images
    graph = 100 * np.mean(np.arange(images) < right - lost)
    accuracy = Accuracy(images=images, reference=float(top1), graph=float(graph), max_drop=allowed)
    assert certificate(accuracy=accuracy).passed


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"parity": (ROW, dataclasses.replace(ROW, batch=3, max_relative=2e-4))}, "at batch 3 logits differ"),
        ({"parity": (dataclasses.replace(ROW, disagreements=1),)}, "first class differs on 1 of 10"),
        ({"graph": Work(products=4, macs=1000)}, "the graph has 4 convolutions"),
        ({"graph": Work(products=5, macs=999)}, "does 999 MACs"),
        ({"accuracy": Accuracy(images=10, reference=90, graph=89.4, max_drop=0.5)}, "drops by 0.60 points"),
    ],
)
def test_the_verdict_follows_from_the_figures(change: dict[str, Any], complaint: str) -> None:
    good, bad = certificate(), certificate(**change)
    assert good.passed and good.failures() == () and good.describe().endswith("passed")
    assert not bad.passed
    assert any(complaint in failure for failure in bad.failures())
    assert complaint in bad.describe().splitlines()[-1]
    assert Certificate.from_json(bad.to_json()) == bad


def test_a_verdict_that_is_not_that_of_the_figures_is_refused() -> None:
    data = json.loads(certificate(parity=(dataclasses.replace(ROW, max_relative=1.0),)).to_json())
    data["passed"] = True
    with pytest.raises(WeightsError, match="verdict"):
        Certificate.from_json(json.dumps(data))


def test_without_a_tolerance_agreement_decides() -> None:
    far = dataclasses.replace(ROW, images=500, max_delta=3.0, max_relative=0.4, disagreements=15)
    assert certificate(parity=(far,), tolerance=None, min_agreement=0.97).passed
    worse = dataclasses.replace(far, disagreements=16)
    assert not certificate(parity=(worse,), tolerance=None, min_agreement=0.97).passed


@pytest.mark.parametrize(
    "change",
    [{"parity": ()}, {"tolerance": -1.0}, {"min_agreement": 1.5}, {"images": ""}, {"tolerance": float("inf")}],
)
def test_certificates_that_prove_nothing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WeightsError):
        certificate(**change)


def test_more_disagreements_than_images_are_refused() -> None:
    with pytest.raises(WeightsError, match="more images disagree"):
        Parity(batch=1, images=1, max_delta=0, max_relative=0, disagreements=2)


def test_people_can_read_it() -> None:
    text = certificate().describe()
    for part in ("10 images made here", "batch 1", "5 convolutions", "2.0 ms", "torch 2", "89.70 %"):
        assert part in text


DOCUMENT = json.loads(certificate().to_json())


@given(key=st.sampled_from(sorted(DOCUMENT)), junk=JUNK, remove=st.booleans())
@settings(max_examples=300)
def test_one_damaged_place_is_refused_or_harmless(key: str, junk: Any, remove: bool) -> None:
    data = copy.deepcopy(DOCUMENT)
    data[key] = junk
    if remove:
        del data[key]
    try:
        read = Certificate.from_json(json.dumps(data))
    except EffnetError as error:
        assert "\n" not in str(error) and error.fix
        return
    assert Certificate.from_json(read.to_json()) == read
    read.describe()
