"""timm's door."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import effnet
from effnet import create_model
from effnet.errors import EffnetError, InputError, UnknownNameError
from effnet.migration.timm import FeatureNetwork
from effnet.weights import layouts


def test_defaults_are_timms() -> None:
    model = create_model("efficientnet_b0")
    assert isinstance(model, effnet.Network)
    assert (model.spec.head.dropout, model.spec.drop_path, model.spec.classes) == (0.0, 0.0, 1000)
    assert (model.spec.conventions.padding, model.spec.conventions.norm_eps) == ("symmetric", 1e-5)
    tensorflow = create_model("tf_efficientnet_b0", num_classes=3, in_chans=1, drop_rate=0.3, drop_path_rate=0.2)
    assert isinstance(tensorflow, effnet.Network)
    assert (tensorflow.spec.conventions.padding, tensorflow.spec.conventions.norm_eps) == ("same", 1e-3)
    assert (tensorflow.spec.head.dropout, tensorflow.spec.drop_path) == (0.3, 0.2)
    assert tensorflow.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    assert create_model("efficientnet_b0", num_classes=0).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1280)


def test_features_are_the_pyramid() -> None:
    trunk = create_model("efficientnetv2_s", features_only=True, out_indices=(1, -1))
    assert isinstance(trunk, FeatureNetwork)
    maps = trunk.eval()(torch.zeros(1, 3, 64, 64))
    assert [feature.shape[1] for feature in maps] == trunk.feature_info.channels() == [48, 256]
    assert [64 // feature.shape[2] for feature in maps] == trunk.feature_info.reduction() == [4, 32]
    assert "network.classifier.1.weight" not in trunk.state_dict()
    for wrong in ((), (5,), ("a",)):
        with pytest.raises(InputError):
            create_model("b0", features_only=True, out_indices=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("efficientnet_b0.ra_in1k", "efficientnet_b0.ra_in1k"),
        ("timm/tf_efficientnet_b0.ap_in1k", "tf_efficientnet_b0.ap_in1k"),
        ("tf_efficientnet_b0", "tf_efficientnet_b0.ns_jft_in1k"),
        ("resnet18", "resnet18.tv_in1k_v1"),
    ],
)
def test_pretrained_asks_for_the_tag(name: str, tag: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EFFNET_OFFLINE", "1")
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path))
    with pytest.raises(EffnetError) as caught:
        create_model(name, pretrained=True)
    assert tag in str(caught.value)


def test_a_checkpoint_of_theirs_loads(tmp_path: Path) -> None:
    spec = effnet.find("b0").replace(classes=4).with_conventions(padding="same")
    state = layouts.from_native(effnet.build(spec).state_dict(), spec, "timm")
    torch.save(state, tmp_path / "tf_efficientnet_b0.pth")
    model = create_model("tf_efficientnet_b0", checkpoint_path=tmp_path / "tf_efficientnet_b0.pth", num_classes=4)
    assert torch.equal(model.classifier[1].weight, state["classifier.weight"])
    assert model.spec.conventions.padding == "same"  # type: ignore[union-attr]


def test_unknown_arguments_are_named() -> None:
    with pytest.raises(UnknownNameError, match="drop_rat"):
        create_model("efficientnet_b0", drop_rat=0.1)
    with pytest.raises(UnknownNameError):
        create_model("efficientnet_b9")
