"""What tensors do not show comes from the name asked for, a configuration, the file, or an assumption that is said."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import effnet
from effnet.families import find
from effnet.nn import build
from effnet.preprocessing import Preprocess
from effnet.weights.loading import LoadedWeights, load_weights
from effnet.weights.writing import write

_MEAN, _STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def _file(path: Path, name: str = "efficientnet_lite0", padding: str = "same", classes: int = 3) -> Path:
    torch.manual_seed(0)
    spec = find(name).replace(classes=classes).with_conventions(padding=padding, norm_eps=1e-3)
    labels = tuple("abcdefghijkl"[:classes])
    state = build(spec).state_dict()
    preprocess = Preprocess(size=64, crop=0.5, mean=_MEAN, std=_STD)
    return write(path, LoadedWeights(state=state, spec=spec, preprocess=preprocess, labels=labels), "timm")


def _conventions(loaded: LoadedWeights) -> tuple[str, float]:
    return loaded.spec.conventions.padding, loaded.spec.conventions.norm_eps


@pytest.mark.parametrize("name", ["best.pth", "efficientnet_lite0.bin", "model.safetensors", "tf_x.pt"])
def test_the_name_that_was_asked_for_decides(name: str, tmp_path: Path) -> None:
    path = _file(tmp_path / name)
    for asked, expected in (("tf_efficientnet_lite0", ("same", 1e-3)), ("efficientnet_lite0", ("symmetric", 1e-5))):
        conventions = effnet.create_model(asked, checkpoint_path=path).spec.conventions
        assert (conventions.padding, conventions.norm_eps) == expected
    assert effnet.create("tf_efficientnet_lite0", weights=path).spec.conventions.padding == "same"


def test_file_names_decide_nothing_and_the_assumption_is_said_once(tmp_path: Path) -> None:
    spec = find("efficientnet_b0")
    for name in ("tf_efficientnet_b0.pth", "best.pth"):
        path = _file(tmp_path / name, "efficientnet_b0")
        with pytest.warns(UserWarning, match=f"{name} does not say.*padding symmetric.*preprocessing") as said:
            loaded = load_weights(spec, path)
        assert _conventions(loaded) == ("symmetric", 1e-5)
        assert len(said) == 1
        assert loaded.provenance["assumed"] == str(said[0].message)
        assert loaded.preprocess.size == 224 and loaded.preprocess.crop == 0.875


@pytest.mark.parametrize(
    "said",
    [
        {"arch": "tf_efficientnet_b0", "args": argparse.Namespace(model="efficientnet_b0")},
        {"args": argparse.Namespace(model="tf_efficientnet_b0.ns_jft_in1k", lr=0.1)},
        {"hyper_parameters": {"lr": 0.1, "model_name": "tf_efficientnet_b0"}},
        {"config": {"backbone": "timm/tf_efficientnet_b0"}},
        {"args": argparse.Namespace(model="tf_efficientnet_b0_ns")},
    ],
)
def test_a_checkpoint_that_names_its_network_is_believed(said: dict[str, object], tmp_path: Path) -> None:
    state = torch.load(_file(tmp_path / "plain.pth", "efficientnet_b0"), weights_only=True)
    torch.save({"epoch": 3, "state_dict": state, **said}, tmp_path / "model_best.pth.tar")
    with pytest.warns(UserWarning, match="assumed preprocessing as tf_efficientnet_b0"):
        loaded = load_weights(None, tmp_path / "model_best.pth.tar")
    assert _conventions(loaded) == ("same", 1e-3) and "padding" not in loaded.provenance["assumed"]
    with pytest.warns(UserWarning, match="preprocessing"):
        other = load_weights(None, tmp_path / "model_best.pth.tar", named="timm/efficientnet_b0")
    assert _conventions(other) == ("symmetric", 1e-5)


def test_a_checkpoint_that_names_another_network_says_nothing(tmp_path: Path) -> None:
    state = torch.load(_file(tmp_path / "plain.pth", "efficientnet_b0"), weights_only=True)
    torch.save({"arch": "tf_efficientnet_b3", "state_dict": state}, tmp_path / "a.pth")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "a.safetensors", {"arch": "x"})
    for name in ("a.pth", "a.safetensors"):
        with pytest.warns(UserWarning, match="assumed padding symmetric"):
            assert _conventions(load_weights(None, tmp_path / name)) == ("symmetric", 1e-5)


def test_networks_that_timm_has_only_from_tensorflow_are_taken_as_such(tmp_path: Path) -> None:
    path = _file(tmp_path / "best.pth", "efficientnet_lite1")
    with pytest.warns(UserWarning, match="padding same"):
        assert _conventions(load_weights(None, path)) == ("same", 1e-3)


def test_safetensors_that_effnet_wrote_say_all(tmp_path: Path) -> None:
    path = _file(tmp_path / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_weights(None, path)
    assert _conventions(loaded) == ("same", 1e-3)
    assert (loaded.preprocess.mean, loaded.preprocess.size, loaded.labels) == (_MEAN, 64, ("a", "b", "c"))


def test_the_preprocessing_assumed_is_of_the_name_or_tag_asked_for(tmp_path: Path) -> None:
    path = _file(tmp_path / "best.pth", "efficientnet_b0")
    plain = effnet.create_model("efficientnet_b0", checkpoint_path=path).preprocess
    assert (plain.size, plain.crop, plain.mean[0]) == (224, 0.875, 0.485)
    tagged = effnet.create_model("efficientnet_b0.ra4_e3600_r224_in1k", checkpoint_path=path).preprocess
    assert tagged.mean[0] == 0.5


def test_timms_configuration_beside_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path / "pytorch_model.bin", "efficientnet_b0")
    cfg = {"input_size": [3, 96, 96], "crop_pct": 0.9, "interpolation": "bilinear", "mean": _MEAN, "std": _STD}
    config = {"architecture": "tf_efficientnet_b0", "pretrained_cfg": cfg, "label_names": ["x", "y", "z"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for source in (path, tmp_path, str(tmp_path)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loaded = load_weights(None, source)
        assert _conventions(loaded) == ("same", 1e-3)
        expected = Preprocess(size=96, crop=0.9, interpolation="bilinear", mean=_MEAN, std=_STD)
        assert (loaded.preprocess, loaded.labels) == (expected, ("x", "y", "z"))
    assert effnet.create_model("efficientnet_b0", checkpoint_path=path).spec.conventions.padding == "symmetric"


def test_a_configuration_of_another_network_is_not_of_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path / "best.pth", "efficientnet_b0")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "tf_efficientnet_b3", "num_classes": 3}))
    with pytest.warns(UserWarning, match="padding symmetric"):
        assert _conventions(load_weights(find("b0"), path)) == ("symmetric", 1e-5)


def test_the_real_lite0_through_timms_layout(tmp_path: Path) -> None:
    published = effnet.create("lite0", weights="imagenet").eval()
    images = torch.randn(2, 3, 96, 96)
    for name in ("model.safetensors", "best.pth"):
        path = write(tmp_path / name, load_weights(find("lite0"), "imagenet"), "timm")
        named = effnet.create_model("tf_efficientnet_lite0", checkpoint_path=path).eval()
        with torch.inference_mode():
            assert torch.equal(named(images), published(images))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = effnet.create("lite0", weights=tmp_path / "model.safetensors").eval()
    assert plain.preprocess == published.preprocess
    with torch.inference_mode():
        assert torch.equal(plain(images), published(images))
