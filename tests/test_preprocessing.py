"""The preprocessing value: validated, described, and the same after a round trip."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import SpecError
from effnet.preprocessing import IMAGENET_MEAN, Preprocess, mismatch

values = st.builds(
    Preprocess,
    size=st.integers(1, 2000),
    crop=st.floats(0.1, 1),
    fit=st.sampled_from(["crop", "squash", "pad"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
    mean=st.just(IMAGENET_MEAN),
    std=st.just((0.5, 0.5, 0.5)),
)


@given(values)
def test_round_trip(value: Preprocess) -> None:
    assert Preprocess.from_dict(value.to_dict()) == value


@pytest.mark.parametrize(("size", "crop", "resize"), [(224, 0.875, 256), (240, 240 / 255, 255), (224, 224 / 232, 232)])
def test_the_side_before_the_crop(size: int, crop: float, resize: int) -> None:
    assert Preprocess(size=size, crop=crop).resize_to == resize


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 2.5},
        {"size": True},
        {"crop": 0},
        {"crop": 1.5},
        {"crop": float("nan")},
        {"fit": "stretch"},
        {"interpolation": "nearest"},
        {"mean": ()},
        {"std": (0.5, 0.5, 0.0)},
        {"std": (0.5,)},
        {"mean": ("a", "b", "c")},
        {"fit": ["crop"]},
        {"sise": 224},
    ],
)
def test_impossible_values(change: dict[str, object]) -> None:
    with pytest.raises(SpecError) as caught:
        Preprocess.from_dict({**Preprocess().to_dict(), **change})
    assert "Fix:" in str(caught.value)


@pytest.mark.parametrize("name", ["size", "crop", "fit", "interpolation", "mean", "std"])
def test_a_missing_field_is_not_guessed(name: str) -> None:
    values = Preprocess().to_dict()
    del values[name]
    with pytest.raises(SpecError, match=f"missing {name}"):
        Preprocess.from_dict(values)


def test_unknown_fields_suggest_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean size"):
        Preprocess.from_dict({"sise": 224})
    with pytest.raises(SpecError):
        Preprocess.from_dict("224")  # type: ignore[arg-type]


def test_description() -> None:
    assert Preprocess().describe() == "224 px, crop 0.875, bicubic, ImageNet mean/std"
    half = Preprocess(size=384, crop=1.0, fit="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert half.describe() == "384 px, crop 1, squashed, bicubic, mean 0.5, std 0.5"


def test_dictionaries_are_json() -> None:
    value = Preprocess(size=300, crop=300 / 331, mean=(0.1, 0.2, 0.3))
    assert Preprocess.from_dict(json.loads(json.dumps(value.to_dict()))) == value


def test_values_do_not_change() -> None:
    value = Preprocess()
    with pytest.raises(AttributeError):
        value.size = 300  # type: ignore[misc]
    larger = value.with_size(300)
    assert (value.size, larger.size, larger.resize_to) == (224, 300, 343)
    with pytest.raises(SpecError):
        value.with_size(0)


@pytest.mark.parametrize(
    ("size", "costs"), [(223, False), (225, False), (192, False), (336, False), (180, True), (392, True), (600, True)]
)
def test_every_size_but_the_weights_own_is_mentioned_and_what_it_costs(size: int, costs: bool) -> None:
    text = mismatch(Preprocess(), size)
    assert text is not None
    assert "224 px" in text and str(size) in text and "confidence" in text
    assert ("lower accuracy" in text) is costs


def test_the_weights_own_size_is_not_mentioned() -> None:
    assert mismatch(Preprocess(), 224) is None
