"""The network is found under any prefix, beside anything; what is no linear head is refused with a way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from effnet.errors import WeightsError
from effnet.families import find
from effnet.nn import build
from effnet.weights import layouts
from effnet.weights.loading import LoadedWeights, load_weights

SPEC = find("b0").replace(classes=5)


@pytest.fixture(scope="module")
def native() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(build(SPEC).state_dict())


def _state(native: dict[str, Tensor], layout: str = "timm") -> dict[str, Tensor]:
    return layouts.from_native(native, SPEC, layout)


def _load(path: Path, content: Any, **kw: Any) -> LoadedWeights:
    torch.save(content, path / "w.pth")
    return load_weights(find("b0"), path / "w.pth", **kw)


def _same(loaded: LoadedWeights, native: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, loaded.state[name]) for name, tensor in native.items())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "prefix", ["net.", "backbone.", "base.", "model.encoder.", "net._orig_mod.module.", "a.b.c.d."]
)
@pytest.mark.parametrize("layout", ["timm", "torchvision", "lukemelas"])
def test_any_prefix(prefix: str, layout: str, native: dict[str, Tensor], tmp_path: Path) -> None:
    content = {prefix + name: tensor for name, tensor in _state(native, layout).items()}
    assert _same(_load(tmp_path, content), native)


def test_what_lies_beside_is_left_out_and_named(native: dict[str, Tensor], tmp_path: Path) -> None:
    content = {f"model.{name}": tensor for name, tensor in _state(native).items()}
    content |= {"criterion.weight": torch.ones(5), "metric.total": torch.zeros(())}
    with pytest.warns(UserWarning, match="left out: criterion.weight, metric.total"):
        loaded = _load(tmp_path, {"state_dict": content})
    assert _same(loaded, native)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_averaged_weights_come_first(native: dict[str, Tensor], tmp_path: Path) -> None:
    raw = {name: tensor * 2 for name, tensor in _state(native).items()}
    both = {f"model.{n}": t for n, t in raw.items()} | {f"ema_model.{n}": t for n, t in _state(native).items()}
    assert _same(_load(tmp_path, both), native)
    for content in (
        {"net": raw, "params_ema": _state(native)},
        {"weights": raw, "ema": {"shadow": _state(native)}},
        {"net": _state(native), "optimizer": {"state": {0: {"m": torch.ones(2)}}}},
        {"weights": _state(native)},
        {"net": _state(native), "ema": {"shadow": {n: t for n, t in raw.items() if "running" not in n}}},
    ):
        assert _same(_load(tmp_path, content), native)


def test_two_different_networks_are_refused(native: dict[str, Tensor], tmp_path: Path) -> None:
    raw = {f"student.{name}": tensor * 2 for name, tensor in _state(native).items()}
    content = raw | {f"teacher.{name}": tensor for name, tensor in _state(native).items()}
    with pytest.raises(WeightsError, match="several networks"):
        _load(tmp_path, content)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_half_precision_counters_too(native: dict[str, Tensor], tmp_path: Path) -> None:
    loaded = _load(tmp_path, {name: tensor.half() for name, tensor in _state(native).items()})
    assert torch.allclose(loaded.state["classifier.1.weight"], native["classifier.1.weight"], atol=1e-3)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("layout", "own", "other"),
    [
        ("torchvision", "classifier.1", "classifier"),
        ("timm", "classifier", "classifier.1"),
        ("timm", "classifier", "head"),
        ("lukemelas", "_fc", "_fc.1"),
    ],
)
def test_one_linear_layer_is_the_classifier(
    layout: str, own: str, other: str, native: dict[str, Tensor], tmp_path: Path
) -> None:
    state = _state(native, layout)
    content = {name: tensor for name, tensor in state.items() if not name.startswith(f"{own}.")}
    content |= {f"{other}.{part}": state[f"{own}.{part}"] for part in ("weight", "bias")}
    assert _same(_load(tmp_path, content), native)


@pytest.mark.parametrize("extra", ["classifier.4", "head2"])
def test_other_heads_are_refused_with_the_trunk_as_the_way_out(
    extra: str, native: dict[str, Tensor], tmp_path: Path
) -> None:
    state = _state(native, "torchvision")
    content = {name: tensor for name, tensor in state.items() if not name.startswith("classifier")}
    first = "classifier.1" if extra.startswith("classifier") else "head1"
    fan_in = 64 if first == "classifier.1" else 1280
    content |= {f"{first}.weight": torch.ones(64, 1280), f"{first}.bias": torch.ones(64)}
    content |= {f"{extra}.weight": torch.ones(2, fan_in), f"{extra}.bias": torch.ones(2)}
    with pytest.raises(WeightsError, match="classes=0"):
        _load(tmp_path, content)
    with pytest.warns(UserWarning, match="left out"):
        trunk = _load(tmp_path, content, classes=0)
    assert trunk.spec.classes == 0
    assert torch.equal(trunk.state["features.0.0.weight"], native["features.0.0.weight"])


def test_a_pickle_of_a_new_protocol_is_called_so(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pth", pickle_protocol=5)
    with pytest.raises(WeightsError, match="pickle of a protocol"):
        load_weights(find("b0"), tmp_path / "w.pth")


def test_a_folder_of_transformers(native: dict[str, Tensor], tmp_path: Path) -> None:
    state = _state(native, "transformers")
    names = ("embeddings.convolution.weight", "encoder.blocks.1.expansion.expand_conv.weight", "encoder.top_bn.bias")
    assert {*names, "encoder.blocks.15.projection.project_bn.weight", "classifier.bias"} <= set(state)
    content = {n if n.startswith("classifier") else f"efficientnet.{n}": tensor for n, tensor in state.items()}
    save_file(content, tmp_path / "model.safetensors")
    labels = {str(index): name for index, name in enumerate("abcde")}
    config = {"model_type": "efficientnet", "image_size": 96, "batch_norm_eps": 0.002, "id2label": labels}
    images = {"size": {"height": 96, "width": 96}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    loaded = load_weights(None, tmp_path)
    assert _same(loaded, native)
    conventions = loaded.spec.conventions
    assert (conventions.padding, conventions.norm_eps, loaded.labels) == ("same", 0.002, tuple("abcde"))
    assert (loaded.preprocess.size, loaded.preprocess.mean, loaded.preprocess.std) == (96, (0.5,) * 3, (0.25,) * 3)
