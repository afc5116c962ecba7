"""A classifier that comes with the weights answers for the data's classes, or begins afresh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from effnet.training.fit import fit
from effnet.weights import modelfile
from tests.tiny import tiny_network


def trained_from(tmp_path: Path, labels: tuple[str, ...] | None, classes: tuple[str, ...]) -> torch.Tensor:
    """Return the classifier's weights after a run at a rate of nothing, from a file whose outputs have these names."""
    network = tiny_network(classes=len(classes))
    assert network.preprocess is not None
    weights = modelfile.save(
        tmp_path / "weights.safetensors",
        modelfile.ModelFile(
            spec=network.spec, state=network.state_dict(), preprocess=network.preprocess, labels=labels
        ),
    )
    generator = np.random.default_rng(0)
    for label in classes:
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(2):
            image = Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            image.save(tmp_path / "data" / label / f"{number}.png")
    run = fit(
        tmp_path / "data",
        "brief",
        spec=network.spec,
        run=tmp_path / "run",
        weights=str(weights),
        epochs=1,
        lr=1e-9,
        resolution=32,
        device="cpu",
    )
    return modelfile.load(run.folder / "last.safetensors").state["classifier.1.weight"]


def test_outputs_are_matched_by_name(tmp_path: Path) -> None:
    theirs = tiny_network(classes=3).classifier[1].weight
    found = trained_from(tmp_path, ("cat", "ant", "bee"), ("ant", "bee", "cat"))
    torch.testing.assert_close(found, theirs[[1, 2, 0]], rtol=0, atol=1e-5)


def test_other_classes_begin_afresh(tmp_path: Path) -> None:
    found = trained_from(tmp_path, ("dog", "eel", "fox"), ("ant", "bee", "cat"))
    assert found.abs().max() < 1e-5


def test_outputs_without_names_are_kept_where_all_libraries_number_them_alike(tmp_path: Path) -> None:
    found = trained_from(tmp_path, None, ("ant", "bee", "cat"))
    torch.testing.assert_close(found, tiny_network(classes=3).classifier[1].weight, rtol=0, atol=1e-5)


def test_outputs_without_names_begin_afresh_where_libraries_disagree(tmp_path: Path) -> None:
    found = trained_from(tmp_path, None, tuple(map(str, range(11))))
    assert found.abs().max() < 1e-5
