"""Fine-tuned Keras networks in every form that Keras saves them in answer as in Keras."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from effnet.creation import assemble
from effnet.errors import WeightsError
from effnet.weights.loading import load_weights

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("h5py")
keras: Any = pytest.importorskip("keras")


def _model(form: str) -> Any:
    layers = keras.layers
    base = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    if form == "sequential":
        return keras.Sequential([base, layers.GlobalAveragePooling2D(), layers.Dense(5)])
    inputs = base.input if form == "flat" else keras.Input((32, 32, 3))
    features = base.output if form == "flat" else base(inputs)
    pooled = layers.GlobalAveragePooling2D()(features)
    if form == "deep":
        pooled = layers.Dense(7)(pooled)
    return keras.Model(inputs, layers.Dense(5, name="pred")(pooled))


@pytest.mark.parametrize("form", ["flat", "nested", "sequential"])
def test_transfer_learned_networks_answer_as_in_keras(form: str, tmp_path: Path) -> None:
    model = _model(form)
    for layer in model.submodules if hasattr(model, "submodules") else model._flatten_layers():
        if type(layer).__name__ == "Normalization" and layer.built:
            layer.adapt(torch.rand(4, 8, 8, 3).numpy())
    pixels = torch.rand(2, 32, 32, 3) * 255
    expected = torch.from_numpy(model.predict(pixels.numpy(), verbose=0))
    for ending in (".keras", ".h5", ".weights.h5"):
        path = tmp_path / f"{form}{ending}"
        (model.save_weights if ending == ".weights.h5" else model.save)(path)
        network = assemble(load_weights(None, path)).eval()
        preprocess = network.preprocess
        mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
        with torch.inference_mode():
            logits = network((pixels.permute(0, 3, 1, 2) / 255 - mean) / std)
        assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_deep_head_is_refused_with_the_trunk_as_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "deep.keras"
    _model("deep").save(path)
    with pytest.raises(WeightsError, match="2 Dense layers"):
        load_weights(None, path)
    with pytest.warns(UserWarning, match="left out"):
        assert load_weights(None, path, classes=0).spec.classes == 0
