"""Learning from a teacher: the loss against its definition, resumption, and that its answers are learnt."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import effnet
from effnet.creation import assemble
from effnet.data.loading import normalise
from effnet.data.source import Dataset
from effnet.errors import EffnetError, InputError, UnknownNameError, WeightsError
from effnet.preprocessing import Preprocess
from effnet.training.distillation import Teacher, distilled, open_teacher
from effnet.training.distributed import World
from effnet.training.recipe import Recipe
from effnet.training.trainer import Trainer
from effnet.weights import modelfile
from effnet.weights.loading import load_weights
from tests.tiny import tiny_network
from tests.tiny_data import CLASSES, Colours, colours
from tests.training.runs import RECIPE, digest, frozen

CPU = torch.device("cpu")
TINY = tiny_network(classes=3)
PREPROCESS = Preprocess(size=32, mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a network that tells the colours apart."""
    folder = tmp_path_factory.mktemp("teacher")
    recipe = Recipe.from_dict({"epochs": 12, "progressive": {"stages": 1}, "ema": {"decay": 0}}, base=PLAIN)
    run = effnet.fit(colours(60, 30), recipe, spec=TINY.spec, run=folder / "run", device="cpu")
    assert run.best is not None and run.best > 90
    return run.model


PLAIN = Recipe.from_dict(
    {
        "augmentation": {"policy": "none", "mixup": 0, "cutmix": 0, "crop": "whole"},
        "regularisation": {"dropout": 0, "drop_path": 0, "label_smoothing": 0},
        "progressive": {"stages": 1},
    },
    base=RECIPE,
)


def teacher_of(network: effnet.Network, **options: Any) -> Teacher:
    return Teacher(network, **({"classes": CLASSES, "preprocess": PREPROCESS, "device": CPU} | options))


@given(
    seed=st.integers(0, 2**31),
    classes=st.integers(2, 9),
    weight=st.floats(0, 1),
    temperature=st.floats(0.5, 20),
)
def test_the_gradient_is_what_hinton_derives(seed: int, classes: int, weight: float, temperature: float) -> None:
    """d loss / d logit = (1 - w) (p - y) + w T (p_T - q_T), each over N (arXiv 1503.02531 equation 2, times T^2)."""
    rng = torch.Generator().manual_seed(seed)
    logits, taught = (3 * torch.randn(4, classes, generator=rng, dtype=torch.float64) for _ in range(2))
    targets = torch.rand(4, classes, generator=rng, dtype=torch.float64)
    targets /= targets.sum(1, keepdim=True)
    logits.requires_grad_(True)
    loss = distilled(logits, taught, targets, weight=weight, temperature=temperature)
    (gradient,) = torch.autograd.grad(loss, logits)
    labelled = logits.softmax(1) - targets
    told = temperature * ((logits / temperature).softmax(1) - (taught / temperature).softmax(1))
    torch.testing.assert_close(gradient, ((1 - weight) * labelled + weight * told) / 4)


def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    logits = torch.randn(5, 3)
    shifted = logits + torch.randn(5, 1)  # probabilities are the same
    targets = torch.full((5, 3), 1 / 3)
    assert distilled(logits, shifted, targets, weight=1, temperature=4).item() == pytest.approx(0, abs=1e-5)
    assert distilled(logits, -logits, targets, weight=1, temperature=4) > 0.1


def test_the_teacher_sees_what_it_would_see_alone() -> None:
    """Images in the student's colours come to it in its own."""
    network = tiny_network(classes=3)
    network.preprocess = Preprocess(size=32, mean=(0.1, 0.4, 0.6), std=(0.3, 0.2, 0.5))
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
    said = teacher_of(network).logits(normalise(pixels, PREPROCESS))
    with torch.no_grad():
        alone = network(normalise(pixels, network.preprocess))
    torch.testing.assert_close(said, alone, rtol=1e-4, atol=1e-4)


def test_images_of_another_size_are_brought_to_the_teachers_own_or_the_one_asked_for() -> None:
    seen: list[tuple[int, ...]] = []

    def spy(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(tuple(inputs[0].shape))

    for size in (None, 40):
        teacher = teacher_of(TINY, size=size)
        teacher._network.register_forward_pre_hook(spy)
        for side in (16, 32, 64):
            assert teacher.logits(torch.randn(2, 3, side, side)).shape == (2, 3)
    assert [shape[-1] for shape in seen] == [32, 32, 32, 40, 40, 40]


def test_outputs_are_matched_by_name() -> None:
    network = tiny_network(classes=5)
    network.labels = ("red", "cat", "blue", "dog", "green")
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        whole = network((images * 0.25 + 0.5 - 0.5) / 0.25)
    torch.testing.assert_close(teacher_of(network).logits(images), whole[:, [2, 4, 0]], rtol=1e-4, atol=1e-4)


def test_a_teacher_that_does_not_fit_is_refused(taught: Path, tmp_path: Path) -> None:
    stranger = tiny_network(classes=3)
    stranger.labels = ("ant", "bee", "cat")
    bare = tiny_network(classes=3)
    bare.preprocess = None
    for network, said in ((stranger, "blue"), (tiny_network(classes=4), "does not name"), (bare, "preprocessing")):
        with pytest.raises(InputError, match=said):
            teacher_of(network)
    with pytest.raises(InputError, match="channels"):
        teacher_of(tiny_network(classes=3, in_channels=1))
    options: dict[str, Any] = {"classes": CLASSES, "preprocess": PREPROCESS, "device": CPU}
    with pytest.raises(UnknownNameError, match=r"distillation\.teacher.*lite00"):
        open_teacher("lite00", **options)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(taught.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"cut\.safetensors"):
        open_teacher(str(cut), **options)
    with pytest.raises(EffnetError, match="classes"):
        effnet.fit(
            colours(), RECIPE, spec=TINY.spec, run=tmp_path / "run", distillation={"teacher": str(_other(tmp_path))}
        )
    assert not (tmp_path / "run" / "best.safetensors").exists()


def _other(folder: Path) -> Path:
    network = tiny_network(classes=4)
    assert network.preprocess is not None
    model = modelfile.ModelFile(spec=network.spec, state=network.state_dict(), preprocess=network.preprocess)
    return modelfile.save(folder / "other.safetensors", model)


def make(settings: dict[str, Any], data: Dataset | None = None) -> Trainer:
    network = tiny_network(classes=3)
    return Trainer(
        network,
        Recipe.from_dict(settings, base=RECIPE),
        data or colours(),
        preprocess=PREPROCESS,
        world=World(device=CPU),
    )


def test_a_distilled_run_resumed_at_any_step_ends_bit_for_bit_the_same(taught: Path) -> None:
    settings = {"distillation": {"teacher": str(taught)}, "batch": {"accumulate": 2}}
    whole = make(settings)
    states: dict[int, Any] = {}
    whole.run(lambda state, step: states.__setitem__(step, frozen(state)), save_seconds=0)
    final = digest(whole.state())
    for step in list(states)[:-1:3]:
        resumed = make(settings)
        resumed.restore(states[step])
        resumed.run()
        assert digest(resumed.state()) == final, f"resumed at step {step}"
    alone = make({"batch": {"accumulate": 2}})
    alone.run()
    assert digest(alone.state()["network"]) != digest(whole.state()["network"])  # the teacher had a say
    with pytest.raises(InputError, match="teacher is not the one"):
        make({"batch": {"accumulate": 2}}).restore(states[1])


def test_a_student_learns_from_answers_alone(taught: Path, tmp_path: Path) -> None:
    """Noise with meaningless labels: only the teacher knows anything, and the student comes to answer as it does."""

    class Noise(Colours):
        def __init__(self, count: int, seed: int) -> None:
            super().__init__(count, seed=seed)
            self.labels = np.random.default_rng(seed).permutation(self.labels)

    data = Dataset("noise", Noise(120, 3), Noise(30, 4))
    agreement = []
    for weight in (0.0, 1.0):
        recipe = Recipe.from_dict(
            {"epochs": 10, "distillation": {"teacher": str(taught), "weight": weight}}, base=PLAIN
        )
        run = effnet.fit(data, recipe, spec=TINY.spec, run=tmp_path / str(weight), device="cpu")
        networks = [assemble(load_weights(None, path)).eval() for path in (run.folder / "last.safetensors", taught)]
        images = torch.stack([_pixels(Colours(60, seed=9), index) for index in range(60)])
        with torch.no_grad():
            student, teacher = (network(normalise(images, PREPROCESS)).argmax(1) for network in networks)
        agreement.append((student == teacher).float().mean().item())
    assert agreement[1] > 0.9 > agreement[0]
    assert modelfile.load(tmp_path / "1.0" / "last.safetensors").provenance["taught_by"] == str(taught)


def _pixels(source: Colours, index: int) -> Tensor:
    from effnet.data.decode import decode
    from effnet.data.preprocess import to_pixels

    return torch.tensor(to_pixels(decode(source.read(index)), dataclasses.replace(PREPROCESS, fit="squash", crop=1.0)))
