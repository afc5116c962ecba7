"""The model file carries everything, is written whole or not at all, and is the same for the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from effnet.errors import EffnetError, WeightsError
from effnet.preprocessing import Preprocess
from effnet.weights import modelfile
from effnet.weights.modelfile import ModelFile
from effnet.weights.reading import read
from tests.tiny import LABELS, tiny_network


@pytest.fixture
def model() -> ModelFile:
    network = tiny_network()
    return ModelFile(
        spec=network.spec,
        state=network.state_dict(),
        preprocess=Preprocess(size=32, crop=1.0),
        labels=LABELS,
        metrics={"top1": 75.5},
        provenance={"tag": "made here", "licence": "Apache-2.0"},
    )


def test_everything_comes_back(model: ModelFile, tmp_path: Path) -> None:
    path = modelfile.save(tmp_path / "m.safetensors", model)
    back = modelfile.load(path)
    assert (back.spec, back.preprocess, back.labels) == (model.spec, model.preprocess, model.labels)
    assert back.metrics == {"top1": 75.5}
    assert back.provenance["tag"] == "made here" and back.provenance["effnet"]
    assert all(torch.equal(tensor, model.state[name]) for name, tensor in back.state.items())
    assert list(tmp_path.iterdir()) == [path]


def test_same_model_same_bytes(model: ModelFile, tmp_path: Path) -> None:
    first = modelfile.save(tmp_path / "a.safetensors", model).read_bytes()
    reordered = dict(reversed(model.state.items()))
    again = ModelFile(
        spec=model.spec,
        state=reordered,
        preprocess=model.preprocess,
        labels=LABELS,
        metrics=model.metrics,
        provenance=model.provenance,
    )
    assert modelfile.save(tmp_path / "b.safetensors", again).read_bytes() == first


def test_any_reader_can_open_it(model: ModelFile, tmp_path: Path) -> None:
    with safe_open(modelfile.save(tmp_path / "m.safetensors", model), "pt") as file:
        assert json.loads(file.metadata()["effnet"])["labels"] == list(LABELS)
        assert "features.0.0.weight" in file.keys()  # noqa: SIM118


def test_parts_must_belong_together(model: ModelFile) -> None:
    with pytest.raises(WeightsError, match="2 labels for 7 classes"):
        ModelFile(spec=model.spec, state=model.state, preprocess=model.preprocess, labels=("a", "b"))
    with pytest.raises(WeightsError, match="do not fit"):
        ModelFile(spec=model.spec.replace(classes=3), state=model.state, preprocess=model.preprocess)


def test_every_truncation_is_noticed(model: ModelFile, tmp_path: Path) -> None:
    data = modelfile.save(tmp_path / "m.safetensors", model).read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in {*range(0, len(data), max(1, len(data) // 80)), len(data) - 1}:
        cut.write_bytes(data[:length])
        with pytest.raises(WeightsError) as caught:
            modelfile.load(cut)
        assert "Fix:" in str(caught.value)


def test_damaged_descriptions(model: ModelFile, tmp_path: Path) -> None:
    path = modelfile.save(tmp_path / "m.safetensors", model)
    with safe_open(path, "pt") as file:
        whole = json.loads(file.metadata()["effnet"])
    damaged = tmp_path / "d.safetensors"
    for change in (
        {"spec": {}},
        {"spec": []},
        {"spec": None},
        {"preprocess": {"size": 0}},
        {"labels": "abc"},
        {"labels": ["one"]},
        {"labels": [1] * 7},
        {"metrics": 3},
        {"format": 9},
    ):
        save_file(dict(model.state), damaged, metadata={"effnet": json.dumps({**whole, **change})})
        refused(damaged)
    for text in ("{", "[]", "[" * 100_000):
        save_file(dict(model.state), damaged, metadata={"effnet": text})
        refused(damaged)


def refused(path: Path) -> None:
    with pytest.raises(EffnetError) as caught:
        modelfile.load(path)
    assert "\n" not in str(caught.value) and "Fix:" in str(caught.value)


def test_plain_weights_say_how_to_become_a_model_file(model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_file(dict(model.state), path)
    with pytest.raises(WeightsError, match="effnet weights convert"):
        modelfile.load(path)


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e-320, 1e-9, 1e300, float("inf"), float("nan"), True, "1"])
def test_no_temperature_that_leaves_no_probabilities(temperature: Any) -> None:
    network = tiny_network()
    assert network.preprocess is not None
    with pytest.raises(WeightsError, match="temperature"):
        ModelFile(spec=network.spec, state=network.state_dict(), preprocess=network.preprocess, temperature=temperature)


def test_no_damaged_byte_passes(model: ModelFile, tmp_path: Path) -> None:
    data = modelfile.save(tmp_path / "m.safetensors", model).read_bytes()
    generator = torch.Generator().manual_seed(0)
    header = 8 + int.from_bytes(data[:8], "little")
    everywhere = torch.randint(len(data), (200,), generator=generator).tolist()
    in_header = torch.randint(header, (300,), generator=generator).tolist()
    damaged = tmp_path / "d.safetensors"
    for place in [*everywhere, *in_header]:
        flipped = data[place] ^ int(torch.randint(1, 256, (), generator=generator))
        damaged.write_bytes(data[:place] + bytes([flipped]) + data[place + 1 :])
        with pytest.raises(WeightsError):
            modelfile.load(damaged)


def test_files_without_a_digest_still_open(model: ModelFile, tmp_path: Path) -> None:
    path = modelfile.save(tmp_path / "m.safetensors", model)
    description = json.loads(modelfile.read(path).metadata["effnet"])
    del description["digest"]
    save_file(model.state, path, metadata={"effnet": json.dumps(description)})
    assert modelfile.load(path).labels == LABELS


def test_a_digest_in_anothers_metadata_makes_no_model_file_of_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    info = json.dumps({"digest": "sha256:abc"})
    save_file(tiny_network().state_dict(), path, {"format": "pt", "info": info})
    assert not modelfile.is_model(read(path))
