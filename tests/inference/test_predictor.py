"""Classifying images: the same answer by every way in, in order, whatever some of the images are."""

from __future__ import annotations

import functools
import io
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from effnet.data.decode import decode
from effnet.data.preprocess import to_batch, to_pixels
from effnet.errors import EffnetError, ImageError, InputError, WeightsError
from effnet.inference import classifier as module
from effnet.inference.prediction import Prediction
from effnet.inference.predictor import Predictor, load
from effnet.nn import Network
from effnet.preprocessing import Preprocess
from tests.tiny import LABELS, tiny_network


@pytest.fixture
def model(network: Network) -> Predictor:
    return load(network, device="cpu", threads=1, batch=3)


def expected(network: Network, path: Path) -> torch.Tensor:
    """Probabilities by the plain network, one image alone, with nothing of the predictor."""
    assert network.preprocess is not None
    with torch.inference_mode():
        images = to_batch([to_pixels(decode(path), network.preprocess)], network.preprocess)
        return network(images).softmax(1)[0]


def assert_same(one: Prediction, other: Prediction) -> None:
    """Different batch sizes use different kernels, so the last digits may differ."""
    probabilities = {score.index: score.probability for score in other.scores}
    assert one.best.index == other.best.index
    for score in one.scores:
        assert score.probability == pytest.approx(probabilities[score.index], abs=1e-5)


def test_predictions_are_those_of_the_plain_network(
    network: Network, model: Predictor, photographs: list[Path]
) -> None:
    predictions = model.predict(photographs, top=7)
    assert [prediction.source for prediction in predictions] == [str(path) for path in photographs]
    for path, prediction in zip(photographs, predictions, strict=True):
        wanted = expected(network, path)
        assert prediction.error is None
        assert prediction.best.index == wanted.argmax().item()
        assert {score.index for score in prediction.scores} == set(range(7))
        for score in prediction.scores:
            assert score.probability == pytest.approx(wanted[score.index].item(), abs=1e-5)
    assert len({prediction.scores for prediction in predictions}) == len(photographs)


def test_probabilities_sum_to_one_and_fall(model: Predictor, photographs: list[Path]) -> None:
    for prediction in model.predict(photographs, top=7):
        probabilities = [score.probability for score in prediction.scores]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert probabilities == sorted(probabilities, reverse=True)


def test_every_kind_of_source_gives_the_same_answer(model: Predictor, photographs: list[Path]) -> None:
    path = photographs[0]
    image = Image.open(path)
    sources = [path, str(path), path.read_bytes(), image, np.asarray(image)]
    predictions = model.predict(sources)
    assert len({prediction.scores for prediction in predictions}) == 1
    assert [prediction.source for prediction in predictions] == [str(path), str(path), None, None, None]
    for source in sources:
        assert_same(model.predict(source), predictions[0])


def test_pillow_images_are_converted_as_their_files_are(model: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "alpha.png"
    colours = np.random.default_rng(1).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    image = Image.fromarray(colours)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.save(path, exif=exif)
    with Image.open(path) as opened:
        assert model.predict(opened).scores == model.predict(path).scores


def test_grey_pixels_may_have_two_dimensions_or_one_channel(model: Predictor) -> None:
    grey = np.random.default_rng(2).integers(0, 256, (40, 50), dtype=np.uint8)
    rgb = np.stack([grey] * 3, axis=2)
    assert model.predict(grey).scores == model.predict(grey[..., None]).scores == model.predict(rgb).scores


def test_an_array_of_images_is_a_list(model: Predictor) -> None:
    images = np.random.default_rng(3).integers(0, 256, (4, 40, 50, 3), dtype=np.uint8)
    for together, image in zip(model.predict(images), images, strict=True):
        assert_same(together, model.predict(image))


@pytest.mark.parametrize(
    "source",
    [
        7,
        None,
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 2, 2, 2, 2), np.uint8),
        [["nested.jpg"]],
    ],
    ids=lambda source: (getattr(source, "shape", None) and f"{source.dtype}{source.shape}") or repr(source),
)
def test_what_cannot_be_an_image_is_a_wrong_request(model: Predictor, source: object) -> None:
    with pytest.raises(InputError):
        model.predict(source)  # type: ignore[call-overload]


def test_one_image_given_to_predict_iter_is_not_read_letter_by_letter(model: Predictor) -> None:
    with pytest.raises(InputError, match="one image"):
        model.predict_iter("cat.jpg")


def test_no_images_give_no_predictions(model: Predictor) -> None:
    assert model.predict([]) == []
    with pytest.raises(InputError, match="no images"):
        model.prepare([])


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 19, 20, 21, 64])
def test_the_batch_size_changes_nothing(network: Network, photographs: list[Path], batch: int) -> None:
    alone = load(network, device="cpu", threads=1, batch=1).predict(photographs)
    together = load(network, device="cpu", threads=1, batch=batch).predict(photographs)
    for one, other in zip(alone, together, strict=True):
        assert one.source == other.source
        assert_same(one, other)


@functools.cache
def shared_model(batch: int) -> Predictor:
    return Predictor(tiny_network(), device="cpu", threads=1, batch=batch)


@given(bad=st.sets(st.integers(0, 19)), batch=st.integers(1, 8))
def test_bad_images_cost_only_themselves(bad: set[int], batch: int) -> None:
    image = np.full((40, 40, 3), 99, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    good = stream.getvalue()
    sources = [b"nonsense" if number in bad else good for number in range(20)]
    predictions = shared_model(batch).predict(sources)
    assert {number for number, p in enumerate(predictions) if p.error is not None} == bad
    for prediction in predictions:
        assert (prediction.error is None) == (len(prediction.scores) == 5)


def test_the_error_says_which_file_and_comes_when_the_answer_is_used(model: Predictor, tmp_path: Path) -> None:
    missing = tmp_path / "missing.jpg"
    prediction = model.predict(missing)
    assert prediction.scores == ()
    assert isinstance(prediction.error, ImageError)
    assert "missing.jpg" in str(prediction.error)
    for use in ("best", "label", "probability"):
        with pytest.raises(ImageError, match=r"missing\.jpg"):
            getattr(prediction, use)


def test_the_best_class_is_the_first_score(model: Predictor, photographs: list[Path]) -> None:
    prediction = model.predict(photographs[0])
    assert prediction.best == prediction.scores[0]
    assert (prediction.label, prediction.probability) == (prediction.best.label, prediction.best.probability)


def test_sources_are_asked_for_only_as_needed(model: Predictor, photographs: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield photographs[taken % len(photographs)]

    predictions = model.predict_iter(endless())
    for done in range(1, 40):
        next(predictions)
        assert taken <= done + 4 * model.batch
    predictions.close()  # type: ignore[attr-defined]
    stopped = taken
    time.sleep(0.05)
    assert taken == stopped
    assert not [t for t in threading.enumerate() if t.name.startswith("effnet-decode")]


def test_an_error_of_the_source_itself_comes_through_and_ends_the_threads(model: Predictor) -> None:
    def broken() -> Iterator[bytes]:
        yield b""
        raise OSError("the camera is gone")

    with pytest.raises(OSError, match="camera"):
        list(model.predict_iter(broken()))
    assert not [t for t in threading.enumerate() if t.name.startswith("effnet-decode")]


def test_images_are_decoded_while_the_network_runs(
    model: Predictor, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    network_runs, decoded_meanwhile = threading.Event(), threading.Event()
    decode_now, logits_now = module.decode, model.logits

    def decode_late(path: Path, **settings: Any) -> Image.Image:
        if path == photographs[model.batch]:  # the first image of the second batch
            assert network_runs.wait(30)
            decoded_meanwhile.set()
        return decode_now(path, **settings)

    def logits_late(images: torch.Tensor) -> torch.Tensor:
        network_runs.set()
        assert decoded_meanwhile.wait(30)
        return logits_now(images)

    monkeypatch.setattr(module, "decode", decode_late)
    monkeypatch.setattr(model, "logits", logits_late)
    assert all(prediction.error is None for prediction in model.predict(photographs))


@pytest.mark.parametrize("top", [1, 3, 7, 100])
def test_top_says_how_many_classes_are_named(model: Predictor, photographs: list[Path], top: int) -> None:
    assert len(model.predict(photographs[0], top=top).scores) == min(top, 7)


def test_labels_name_the_classes(network: Network, photographs: list[Path]) -> None:
    network.labels = LABELS
    for score in load(network, device="cpu").predict(photographs[0], top=7).scores:
        assert score.label == LABELS[score.index]


def test_without_labels_classes_are_numbered(model: Predictor, photographs: list[Path]) -> None:
    for score in model.predict(photographs[0]).scores:
        assert score.label == f"class {score.index}"


def test_labels_must_be_as_many_as_classes(network: Network) -> None:
    network.labels = LABELS[:3]
    with pytest.raises(InputError, match="3 labels for 7 classes"):
        load(network)


def test_prepare_and_logits_are_the_same_way_in_parts(model: Predictor, photographs: list[Path]) -> None:
    images = model.prepare(photographs[:4])
    assert images.shape == (4, 3, 32, 32)
    probabilities = model.logits(images).softmax(1)
    for row, prediction in zip(probabilities, model.predict(photographs[:4]), strict=True):
        assert row.argmax().item() == prediction.best.index


def test_prepare_does_not_hide_a_bad_image(model: Predictor, photographs: list[Path]) -> None:
    with pytest.raises(ImageError, match="empty"):
        model.prepare([photographs[0], b""])


def test_the_given_network_is_left_as_it_was(network: Network, photographs: list[Path]) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load(network, device="cpu").predict(photographs[:3])
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_grey_network_reads_luminance(photographs: list[Path]) -> None:
    network = tiny_network(in_channels=1)
    model = load(network, device="cpu", threads=1)
    colour = np.zeros((40, 40, 3), np.uint8)
    colour[..., 1] = 200
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    assert model.prepare([photographs[0]]).shape == (1, 1, 32, 32)
    assert model.predict(colour).scores == model.predict(grey).scores


def test_one_output_is_a_sigmoid_between_two_classes(photographs: list[Path]) -> None:
    network = tiny_network(classes=1)
    first = network(load(tiny_network(), device="cpu").prepare(photographs)).detach()[:, 0]
    network.classifier[1].bias.data -= (first.min() + first.max()) / 2  # both answers occur, none by a hair
    network.temperature, network.labels = 2.0, ("wasp",)
    with pytest.warns(UserWarning, match="one output"):
        model = load(network, device="cpu")
    first = network(model.prepare(photographs)).detach()[:, 0]
    positive = torch.sigmoid(first / 2.0)
    answers = [{score.label: score for score in prediction.scores} for prediction in model.predict(photographs)]
    assert [answer["wasp"].index for answer in answers] == [1] * len(photographs)
    torch.testing.assert_close(torch.tensor([answer["wasp"].probability for answer in answers]), positive)
    torch.testing.assert_close(torch.tensor([answer["not wasp"].probability for answer in answers]), 1 - positive)
    best = [prediction.label for prediction in model.predict(photographs)]
    assert best == ["wasp" if logit > 0 else "not wasp" for logit in first]
    assert len(set(best)) == 2


def test_one_output_without_a_name_has_the_numbers_that_it_was_trained_with(photographs: list[Path]) -> None:
    network = tiny_network(classes=1)
    with pytest.warns(UserWarning, match="one output"):
        prediction = load(network, device="cpu").predict(photographs[0])
    assert {score.label for score in prediction.scores} == {"class 0", "class 1"}
    assert network.spec.classes == 1  # what was given is not changed


def test_the_answer_of_an_image_and_its_mirror_image_is_their_mean(network: Network, photographs: list[Path]) -> None:
    model, flipping = load(network, device="cpu"), load(network, device="cpu", flip=True, top=7)
    images = model.prepare(photographs)
    mean = (model.logits(images) + model.logits(images.flip(3))) / 2
    for probabilities, prediction in zip(mean.softmax(1), flipping.predict(photographs), strict=True):
        for score in prediction.scores:
            assert score.probability == pytest.approx(float(probabilities[score.index]), rel=1e-4)


def test_every_other_size_can_be_forced_and_warns(network: Network, photographs: list[Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(network, device="cpu", size=32)
    with pytest.warns(UserWarning, match=r"33 px where .* 32 px: confidence"):
        load(network, device="cpu", size=33)
    with pytest.warns(UserWarning, match="40 px"):
        near = load(network, device="cpu", size=40)
    assert near.prepare(photographs[:1]).shape == (1, 3, 40, 40)
    with pytest.warns(UserWarning, match=r"16 px is 0\.5 times the 32 px") as caught:
        far = load(network, device="cpu", size=16)
    assert caught[0].filename == __file__
    assert far.predict(photographs[0]).error is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"preprocess": None}, "does not know how its weights want images prepared"),
        ({"preprocess": Preprocess(size=32, mean=(0.5,), std=(0.5,))}, "3 channels"),
    ],
)
def test_a_network_must_know_its_preprocessing(network: Network, change: dict[str, object], complaint: str) -> None:
    for name, value in change.items():
        setattr(network, name, value)
    with pytest.raises(InputError, match=complaint):
        load(network)


@pytest.mark.parametrize("arguments", [{"classes": 0}, {"in_channels": 2}])
def test_networks_that_cannot_classify_photographs_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(InputError):
        load(tiny_network(**arguments))


@pytest.mark.parametrize("name", ["batch", "top", "threads", "size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_numbers_must_be_whole_and_positive(network: Network, name: str, value: object) -> None:
    with warnings.catch_warnings(), pytest.raises(EffnetError, match=name):
        warnings.simplefilter("error")
        load(network, device="cpu", **{name: value})  # type: ignore[arg-type]


def test_threads_are_used_for_the_network_and_put_back(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    model = load(network, device="cpu", threads=before + 1)
    seen: list[int] = []
    model._network.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    model.predict(np.zeros((8, 8), np.uint8))
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_a_device_that_is_not_there_is_a_wrong_request(network: Network) -> None:
    for name in ("cuda:63", "no such device"):
        with pytest.raises(InputError, match=name):
            load(network, device=name)


def test_outputs_that_are_not_numbers_are_an_error_of_the_weights(network: Network) -> None:
    with torch.no_grad():
        network.classifier[1].weight.fill_(float("nan"))
    with pytest.raises(WeightsError, match="not finite"):
        load(network, device="cpu").predict(np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_too_little_memory_says_to_use_a_smaller_batch(model: Predictor, error: Exception) -> None:
    def fails(*_: object) -> None:
        raise error

    model._network.register_forward_pre_hook(fails)
    with pytest.raises(InputError, match="smaller batch"):
        model.predict(np.zeros((8, 8), np.uint8))


def test_other_errors_of_torch_are_not_disguised(model: Predictor) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        model.logits(torch.zeros(1, 5, 32, 32))


def test_a_cuda_graph_needs_a_cuda_gpu() -> None:
    with pytest.raises(InputError, match=r"graph=True on cpu: CUDA graphs need a CUDA GPU.*graph=False"):
        Predictor(tiny_network(), device="cpu", graph=True)
    with pytest.raises(InputError, match="CUDA graphs need a CUDA GPU"):
        load(tiny_network(), device="cpu", graph=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_cuda_graph_answers_as_the_network() -> None:
    graphed, plain = (Predictor(tiny_network(), device="cuda", graph=graph) for graph in (True, False))
    for count in (1, 3, 1):
        images = torch.randn(count, 3, 32, 32)
        assert torch.allclose(graphed.logits(images), plain.logits(images), rtol=1e-3, atol=1e-3)
