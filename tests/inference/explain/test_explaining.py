"""Explaining real photographs and tiny ones, and whether the maps mean anything."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import effnet
from effnet.data.decode import decode
from effnet.errors import ImageError, InputError, MissingDependencyError, UnknownNameError
from effnet.inference.classifier import Classifier, Logits, Pixels
from effnet.inference.explain import cascade, class_numbers, explain
from effnet.inference.explain.explanation import Check
from effnet.inference.explain.occlusion import rank_correlation
from effnet.inference.predictor import Predictor, load
from effnet.nn.network import initialise
from effnet.preprocessing import place
from tests.tiny import LABELS, tiny_network


def labelled() -> Predictor:
    network = tiny_network()
    network.labels = LABELS
    return load(network)


PHOTO = Image.fromarray(np.random.default_rng(3).integers(0, 256, (50, 80, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def lite0() -> Predictor:
    try:
        return load("lite0")
    except MissingDependencyError:
        pytest.skip("the package with Lite0's weights is not installed")


@pytest.fixture(scope="module")
def daisy() -> Image.Image:
    demo = pytest.importorskip("effnet.demo")
    try:
        photo = next(path for path in demo.photographs() if path.stem == "flower")
    except MissingDependencyError:
        pytest.skip("scikit-learn is not installed")
    return decode(photo).crop((160, 80, 400, 320))


def scene(flower: Image.Image, left: int, top: int) -> Image.Image:
    """Return a large grey image with the flower somewhere on it."""
    canvas = Image.new("RGB", (448, 448), (124, 116, 104))
    canvas.paste(flower.resize((200, 200)), (left, top))
    return canvas


@pytest.mark.parametrize("method", ["cam", "grad-cam", "hirescam", "layercam", "occlusion"])
def test_the_map_moves_with_the_object(lite0: Predictor, daisy: Image.Image, method: str) -> None:
    for left, top in ((40, 40), (208, 40), (40, 208), (208, 208)):
        found = explain(lite0, scene(daisy, left, top), classes=["daisy"], method=method)  # type: ignore[arg-type]
        x, y = found[0].peak()
        assert left - 10 <= x <= left + 210, (method, left, top, x, y)
        assert top - 10 <= y <= top + 210, (method, left, top, x, y)


def test_a_network_without_learning_gives_another_map(lite0: Predictor, daisy: Image.Image) -> None:
    image = scene(daisy, 40, 208)
    trained = explain(lite0, image, classes=["daisy"])[0].heat
    again = explain(lite0, image.copy(), classes=["daisy"])[0].heat
    assert rank_correlation(trained, again) == 1
    similar = []
    for seed in range(4):
        network = copy.deepcopy(lite0.network)
        torch.manual_seed(seed)
        network.apply(initialise)
        random = explain(load(network), image, classes=["daisy"])[0].heat
        similar.append(abs(rank_correlation(trained, random)))
    assert np.mean(similar) < 0.4
    (step, *_, last) = cascade(lite0.network, lite0.prepare([image])[0], [985])
    assert (step.down_to, last.down_to) == ("classifier", "stem")
    assert abs(last.similarity[0]) < 0.5


def test_the_check_tells_a_map_from_noise(lite0: Predictor, daisy: Image.Image) -> None:
    done: list[tuple[int, int]] = []
    found = explain(
        lite0, scene(daisy, 40, 40), classes=["daisy"], check=True, progress=lambda at, total: done.append((at, total))
    )[0].check
    assert found is not None and found.rank_correlation is not None
    assert found.rank_correlation > 0.4
    assert found.insertion > found.random_insertion
    assert found.deletion < found.random_deletion
    assert found.verdict.startswith("holds")
    assert done[-1][0] == done[-1][1] and [at for at, _ in done] == sorted(at for at, _ in done)


def test_the_most_probable_classes_are_explained() -> None:
    model = labelled()
    found = explain(model, PHOTO, top=3)
    expected = model.predict(PHOTO, top=3).scores
    assert [one.target.label for one in found] == [score.label for score in expected]
    for one, score in zip(found, expected, strict=True):
        assert one.target.probability == pytest.approx(score.probability, abs=1e-6)
        assert one.heat.shape == (16, 16) and one.heat.dtype == np.float32
        assert (one.model, one.method, one.stage) == ("tiny", "grad-cam", "head")
        assert one.window == place(model.preprocess, 80, 50).window
        assert one.overlay().size == PHOTO.size
    assert len(explain(model, PHOTO, top=99)) == len(LABELS)
    assert json.loads(json.dumps(found[0].to_dict()))["label"] == found[0].target.label


def test_any_form_of_an_image_gives_the_same_map(tmp_path: Path) -> None:
    model, file = labelled(), tmp_path / "p.png"
    PHOTO.save(file)
    first = explain(model, file)[0]
    assert first.source == str(file)
    for source in (str(file), file.read_bytes(), PHOTO, np.asarray(PHOTO)):
        assert np.array_equal(explain(model, source)[0].heat, first.heat)
    assert explain(model, np.zeros((9, 9), np.uint8))[0].image.mode == "RGB"
    grey = load(tiny_network(in_channels=1))
    assert explain(grey, PHOTO, stage="1")[0].stage == "stage 1"


def test_classes_are_named_or_numbered() -> None:
    assert class_numbers(["bee", 0, "Gnu", "3", "bee"], LABELS, 7) == [1, 0, 6, 3]
    assert class_numbers([2], None, 7) == [2]
    with pytest.raises(UnknownNameError, match="bee"):
        class_numbers(["beee"], LABELS, 7)
    for wrong in ([], "bee", [7], [-1], [True], ["9" * 30], ["bee"]):
        with pytest.raises(InputError):
            class_numbers(wrong, None if wrong == ["bee"] else LABELS, 7)  # type: ignore[arg-type]


def test_models_without_gradients_are_covered_instead() -> None:
    inner = labelled()

    class Exported(Classifier):
        def classify(self, pixels: Sequence[Pixels]) -> Logits:
            return inner.classify(pixels)

    exported = Exported(inner.spec, inner.preprocess, inner.labels, 1.0, batch=8, top=5)
    found = explain(exported, PHOTO, method="occlusion", check=True)[0]
    assert found.stage == "input" and found.check is not None and found.check.rank_correlation is None
    # Up to the rounding of the mean colour to a level.
    np.testing.assert_allclose(found.heat, explain(inner, PHOTO, method="occlusion")[0].heat, atol=0.15)
    with pytest.raises(InputError, match="occlusion"):
        explain(exported, PHOTO)


def test_impossible_requests_are_refused(tmp_path: Path) -> None:
    model = labelled()
    with pytest.raises(UnknownNameError, match="layercam"):
        explain(model, PHOTO, method="layrcam")  # type: ignore[arg-type]
    for wrong in ({"top": 0}, {"stage": "9"}, {"stage": "stem", "method": "cam"}):
        with pytest.raises(InputError):
            explain(model, PHOTO, **wrong)  # type: ignore[arg-type]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no image")
    with pytest.raises(ImageError):
        explain(model, broken)
    with pytest.raises(InputError, match="image"):
        explain(model, 7)  # type: ignore[arg-type]
    assert effnet.explain is explain


@pytest.mark.parametrize(
    ("correlation", "verdict"),
    [
        (0.9, "holds (4 of 4 checks)"),
        (0.2, "holds in part (3 of 4 checks)"),
        (-0.18, "do not rely on it (3 of 4 checks)"),
    ],
)
def test_a_map_that_covering_contradicts_is_not_relied_on(correlation: float, verdict: str) -> None:
    check = Check(
        occlusion=np.zeros((7, 7), np.float32),
        rank_correlation=correlation,
        deletion=0.1,
        insertion=0.9,
        random_deletion=0.5,
        random_insertion=0.5,
        randomised=(("stem", 0.0),),
    )
    assert check.verdict == verdict
