"""The manifest: every field survives, and what no bundle can be is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.deploy.manifest import Manifest
from effnet.errors import EffnetError, WeightsError
from effnet.preprocessing import Preprocess
from tests.deploy.bundles import SPEC, manifest

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def test_every_field_survives() -> None:
    for whole in (manifest(), manifest("litert", labels=None, batch=8, preprocessing_in_graph=True)):
        assert Manifest.from_json(whole.to_json()) == whole
        assert Manifest.from_json(whole.to_json().encode()).to_json() == whole.to_json()


def test_the_white_value_travels_and_older_manifests_have_none() -> None:
    import dataclasses

    bright = manifest(preprocess=dataclasses.replace(manifest().preprocess, white=4095))
    assert Manifest.from_json(bright.to_json()).preprocess.white == 4095
    assert '"white"' not in manifest().to_json()


def test_the_input_follows_from_the_description() -> None:
    assert (manifest().input_shape, manifest().input_dtype) == ((None, 3, 32, 32), "float32")
    pixels = manifest(batch=4, preprocessing_in_graph=True)
    assert (pixels.input_shape, pixels.input_dtype) == ((4, 32, 32, 3), "uint8")
    assert "any batch" in manifest().describe() and "batch 4, takes pixels" in pixels.describe()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "coreml"}, "known are onnx"),
        ({"precision": "fp7"}, "known are fp32"),
        ({"name": " "}, "name is ' '"),
        ({"labels": ("a", "b")}, "2 labels for 3 classes"),
        ({"labels": ("a", "b", 3)}, "not a list of texts"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": 1e-320}, "temperature"),
        ({"temperature": 1e300}, "temperature"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": True}, "batch is True"),
        ({"batch": 100_000}, "batch is 100000"),
        ({"spec": SPEC.replace(classes=0), "labels": None}, "no classifier"),
        ({"preprocess": Preprocess(mean=(0.5,), std=(0.5,))}, "1 means for 3 channels"),
        ({"preprocessing_in_graph": 1}, "neither true nor false"),
    ],
)
def test_impossible_manifests_are_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint) as caught:
        manifest(**change)
    assert "Fix:" in str(caught.value)


DOCUMENT = json.loads(manifest().to_json())
PLACES = [(key,) for key in DOCUMENT] + [
    (key, inner) for key, value in DOCUMENT.items() if isinstance(value, dict) for inner in value
]


@given(path=st.sampled_from(PLACES), junk=JUNK, remove=st.booleans())
@settings(max_examples=300)
def test_one_damaged_place_is_refused_or_harmless(path: tuple[str, ...], junk: Any, remove: bool) -> None:
    data = copy.deepcopy(DOCUMENT)
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = junk
    try:
        read = Manifest.from_json(json.dumps(data))
    except EffnetError as error:
        assert "\n" not in str(error) and error.fix
        return
    assert Manifest.from_json(read.to_json()) == read


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"version": 2}', '{"version": 1}', b"\xff"])
def test_what_is_no_manifest_is_refused(text: str | bytes) -> None:
    with pytest.raises(WeightsError, match="Fix:"):
        Manifest.from_json(text)
