"""timm's door: names, arguments, weights."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import effnet
from effnet import create_model, timm
from effnet.errors import EffnetError, InputError, UnknownNameError
from effnet.migration.timm_names import NAMES, OLD_NAMES
from effnet.weights import layouts, published


def test_defaults_are_timms() -> None:
    model = create_model("efficientnet_b0")
    assert isinstance(model, effnet.Network)
    assert (model.spec.head.dropout, model.spec.drop_path, model.spec.classes) == (0.0, 0.0, 1000)
    assert (model.spec.conventions.padding, model.spec.conventions.norm_eps) == ("symmetric", 1e-5)
    tensorflow = create_model("tf_efficientnet_b0", num_classes=3, in_chans=1, drop_rate=0.3, drop_path_rate=0.2)
    assert (tensorflow.spec.conventions.padding, tensorflow.spec.conventions.norm_eps) == ("same", 1e-3)
    assert (tensorflow.spec.head.dropout, tensorflow.spec.drop_path) == (0.3, 0.2)
    assert tensorflow.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    assert create_model("efficientnet_b0", num_classes=0).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1280)


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet18"])
def test_arguments_that_are_none_are_left_out(name: str) -> None:
    nothing = dict.fromkeys(("num_classes", "in_chans", "drop_rate", "drop_path_rate", "global_pool", "pretrained_cfg"))
    model = create_model(name, checkpoint_path=None, cache_dir=None, features_only=None, made_up=None, **nothing)
    assert (model.drop_rate, model.spec.head.dropout, model.spec.drop_path, model.num_classes) == (0.0, 0.0, 0.0, 1000)


def test_ordinary_arguments_are_understood() -> None:
    model = create_model("efficientnet_b0", scriptable=True, exportable=True, no_jit=True, drop_connect_rate=0.1)
    assert model.spec.drop_path == 0.1
    assert any(layer.rate for layer in model.modules() if isinstance(layer, effnet.nn.DropPath))
    images = torch.zeros(1, 3, 64, 64)
    maps = create_model("efficientnet_b0", num_classes=0, global_pool="").eval()(images)
    assert maps.shape == (1, 1280, 2, 2)
    for pool, features in {"avg": 1280, "max": 1280, "avgmax": 1280, "catavgmax": 2560, "fast": 1280}.items():
        assert create_model("efficientnet_b0", num_classes=0, global_pool=pool).eval()(images).shape == (1, features)
    for stride, side in {8: 8, 16: 4, 32: 2}.items():
        trunk = create_model("efficientnet_b0", features_only=True, output_stride=stride).eval()
        assert trunk(images)[-1].shape == (1, 320, side, side)
        assert max(trunk.feature_info.reduction()) == stride
    assert create_model("tf_efficientnet_b0", bn_eps=1e-4, bn_momentum=0.2).bn1.eps == 1e-4


@pytest.mark.parametrize("bad", [{"global_pool": "median"}, {"output_stride": 5}, {"bn_eps": -1.0}, {"drop_rate": 2.0}])
def test_impossible_arguments_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(EffnetError):
        create_model("efficientnet_b0", **bad)


def test_features_are_the_pyramid() -> None:
    trunk = create_model("efficientnetv2_s", features_only=True, out_indices=(1, -1))
    maps = trunk.eval()(torch.zeros(1, 3, 64, 64))
    assert [feature.shape[1] for feature in maps] == trunk.feature_info.channels() == [48, 256]
    assert [64 // feature.shape[2] for feature in maps] == trunk.feature_info.reduction() == [4, 32]
    assert not any(name.startswith(("classifier", "conv_head", "bn2")) for name in trunk.state_dict())
    assert trunk.feature_info.module_name() == ["blocks.1", "blocks.5"]
    keys = ["num_chs", "reduction"]
    assert trunk.feature_info.get_dicts(keys=keys)[0] == {"num_chs": 48, "reduction": 4} != trunk.feature_info[0]
    for wrong in ((), (5,), ("a",)):
        with pytest.raises(InputError):
            create_model("b0", features_only=True, out_indices=wrong)


def test_the_trunk_has_no_layer_that_nothing_uses() -> None:
    trunk = create_model("efficientnet_b0", features_only=True)
    assert sum(weight.numel() for weight in trunk.parameters()) == 3_595_388  # timm's
    sum(feature.mean() for feature in trunk(torch.randn(2, 3, 64, 64))).backward()  # type: ignore[union-attr]
    assert all(weight.grad is not None for weight in trunk.parameters())  # else DistributedDataParallel stops


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("efficientnet_b0.ra_in1k", "efficientnet_b0.ra_in1k"),
        ("efficientnet_b0", "efficientnet_b0.ra_in1k"),
        ("timm/tf_efficientnet_b0.ap_in1k", "tf_efficientnet_b0.ap_in1k"),
        ("hf-hub:timm/tf_efficientnet_b0.ap_in1k", "tf_efficientnet_b0.ap_in1k"),
        ("hf_hub:timm/tf_efficientnet_b0.ap_in1k", "tf_efficientnet_b0.ap_in1k"),
        ("tf_efficientnet_b0", "tf_efficientnet_b0.ns_jft_in1k"),
        ("tf_efficientnet_l2", "tf_efficientnet_l2.ns_jft_in1k"),
        ("resnet18", "resnet18.tv_in1k_v1"),
        ("tf_efficientnet_b4_ns", "tf_efficientnet_b4.ns_jft_in1k"),
        ("tf_efficientnetv2_s_in21ft1k", "tf_efficientnetv2_s.in21k_ft_in1k"),
        ("efficientnet_b3a", "efficientnet_b3.ra2_in1k"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*is an old name")
def test_pretrained_asks_for_the_tag(name: str, tag: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EFFNET_OFFLINE", "1")
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path))
    with pytest.raises(EffnetError) as caught:
        create_model(name, pretrained=True)
    assert f"{tag}:" in str(caught.value) or f"{tag} " in str(caught.value) or tag in str(caught.value)


def test_a_tag_may_be_given_beside_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EFFNET_OFFLINE", "1")
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path))
    with pytest.raises(EffnetError, match=r"tf_efficientnet_b0\.aa_in1k"):
        create_model("tf_efficientnet_b0", pretrained=True, pretrained_cfg="aa_in1k")
    assert create_model("tf_efficientnet_b0", pretrained_cfg="aa_in1k").default_cfg["tag"] == "aa_in1k"


def test_the_old_names_are_of_sets_that_are_known() -> None:
    assert len(OLD_NAMES) == 30  # the 29 of these networks' and mnasnet_a1
    for old, new in OLD_NAMES.items():
        name, _, tag = new.partition(".")
        assert name in NAMES, old
        assert not tag or published.find(new).tag == new
        assert timm.is_model(old)


def test_old_names_are_functions() -> None:
    from effnet.timm.models import efficientnet
    from effnet.timm.models.efficientnet import efficientnet_b2a

    with pytest.warns(UserWarning, match=r"tf_efficientnet_b0\.ap_in1k now"):
        assert timm.tf_efficientnet_b0_ap(num_classes=2).default_cfg["tag"] == "ap_in1k"
    assert efficientnet_b2a(num_classes=2).spec.name == "efficientnet_b2"
    for old in OLD_NAMES:
        assert callable(getattr(efficientnet, old))
        assert callable(getattr(timm.models, old))
    with pytest.raises(AttributeError):
        timm.models.efficientnet.efficientnet_b9  # noqa: B018


def test_list_models_matches_patterns() -> None:
    assert effnet.list_models("*_b0") == ["efficientnet_b0", "tf_efficientnet_b0", "tf_efficientnetv2_b0"]
    assert "efficientnet_b0.ra_in1k" in timm.list_models("efficientnet*", pretrained=True)
    assert timm.list_models(["resnet1*", "*lite4"], exclude_filters="tf_*") == [
        "efficientnet_lite4",
        "resnet18",
        "resnet101",
        "resnet152",
    ]
    assert timm.list_models(module="resnet") == ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(effnet.find(name) for name in timm.list_models())


def timm_file(path: Path, classes: int = 4) -> dict[str, torch.Tensor]:
    """Write a file of timm's and return its tensors."""
    spec = effnet.find("b0").replace(classes=classes).with_conventions(padding="same")
    state = layouts.from_native(effnet.build(spec).state_dict(), spec, "timm")
    torch.save(state, path)
    return state


@pytest.mark.parametrize("file", ["best.pth", "pytorch_model.bin", "tf_efficientnet_b0.pth", "efficientnet_b0.pth"])
@pytest.mark.parametrize(("name", "padding"), [("tf_efficientnet_b0", "same"), ("efficientnet_b0", "symmetric")])
def test_a_checkpoint_is_computed_as_the_name_says(file: str, name: str, padding: str, tmp_path: Path) -> None:
    state = timm_file(tmp_path / file)
    model = create_model(name, checkpoint_path=tmp_path / file, num_classes=4)
    assert torch.equal(model.classifier.weight, state["classifier.weight"])
    assert model.spec.conventions.padding == padding
    assert model.bn1.eps == model.spec.conventions.norm_eps == (1e-3 if padding == "same" else 1e-5)
    overlay = create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / file)}, num_classes=4)
    assert torch.equal(overlay.conv_stem.weight, state["conv_stem.weight"])
    trunk = create_model(name, checkpoint_path=tmp_path / file, features_only=True)
    assert torch.equal(trunk.conv_stem.weight, state["conv_stem.weight"])


def test_a_saved_folder_is_read(tmp_path: Path) -> None:
    state = timm_file(tmp_path / "pytorch_model.bin")
    described = {"mean": [0.5, 0.5, 0.5], "input_size": [3, 96, 96], "crop_pct": 0.9}
    config = {"architecture": "tf_efficientnet_b0", "num_classes": 4, "pretrained_cfg": described}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = create_model(f"local-dir:{tmp_path}", pretrained=True)
    assert model.num_classes == 4
    assert torch.equal(model.classifier.bias, state["classifier.bias"])
    assert model.spec.conventions.padding == "same"
    assert (model.preprocess.size, model.preprocess.mean, model.preprocess.crop) == (96, (0.5, 0.5, 0.5), 0.9)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json"):
        create_model(f"local-dir:{tmp_path}")


def test_edge_networks_are_timms_function_here() -> None:
    through, ours = create_model("tf_efficientnet_es", num_classes=3), effnet.create("tf_efficientnet_es", classes=3)
    assert through.spec.conventions.fused_padding is None
    assert ours.spec.conventions.fused_padding == "symmetric"


def test_a_cache_folder_is_not_ignored_silently(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="EFFNET_HOME"):
        create_model("efficientnet_b0", cache_dir=tmp_path)


def test_unknown_arguments_are_named() -> None:
    with pytest.raises(UnknownNameError, match="drop_rat"):
        create_model("efficientnet_b0", drop_rat=0.1)
    with pytest.raises(UnknownNameError):
        create_model("efficientnet_b9")
    with pytest.raises(UnknownNameError, match="dict"):
        create_model("efficientnet_b0", features_only=True, feature_cls="dict")
    with pytest.raises(InputError):
        create_model(3)  # type: ignore[arg-type]


def test_the_transform_is_the_preprocessing_of_the_weights() -> None:
    model = create_model("tf_efficientnet_b0.ap_in1k")
    config = timm.data.resolve_data_config({}, model=model)
    weights = published.find("tf_efficientnet_b0.ap_in1k")
    assert (config["mean"], config["input_size"]) == (weights.mean, (3, 224, 224))
    transform = timm.data.create_transform(**config)
    assert transform.preprocess == weights.preprocess
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 240, 3), dtype=np.uint8))
    assert transform(image).shape == (3, 224, 224)
    assert timm.data.resolve_model_data_config(model, {"img_size": 96})["input_size"] == (3, 96, 96)
    for wrong in ({"is_training": True}, {"crop_mode": "border"}, {"hflip": 0.5}):
        with pytest.raises(InputError):
            timm.data.create_transform(**{**config, **wrong})


def test_every_name_makes_a_network() -> None:
    with torch.device("meta"):
        for name in NAMES:
            if name.startswith("resnet"):
                continue
            from effnet.migration.timm_names import conventions_of
            from effnet.migration.timm_network import TimmNetwork

            model = TimmNetwork(conventions_of(name))
            assert isinstance(model.classifier, nn.Linear)
            assert sum(p.numel() for p in model.parameters()) == sum(
                p.numel() for p in effnet.build(model.spec, weights=False).parameters()
            )


def test_weights_may_be_handed_over_or_are_refused() -> None:
    source = create_model("efficientnet_b0", num_classes=2)
    model = create_model(
        "efficientnet_b0", pretrained=True, num_classes=2, pretrained_cfg_overlay={"state_dict": source.state_dict()}
    )
    assert torch.equal(model.conv_stem.weight, source.conv_stem.weight)
    with pytest.raises(InputError, match="not fetched"):
        create_model("efficientnet_b0", pretrained=True, pretrained_cfg={"url": "https://example.org/own.pth"})


def test_published_weights_come_through_the_door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = effnet.find("edgetpu_s").with_conventions(padding="same")
    state = layouts.from_native(effnet.build(spec).state_dict(), spec, "timm")
    torch.save(state, tmp_path / "model.pth")
    monkeypatch.setattr("effnet.weights.store.fetch", lambda weights, **_: tmp_path / "model.pth")
    model = create_model("tf_efficientnet_es", pretrained=True, num_classes=3, drop_rate=0.1)
    assert torch.equal(model.conv_stem.weight, state["conv_stem.weight"])
    assert model.classifier.out_features == 3
    assert model.spec.conventions.fused_padding is None
    assert model.preprocess == published.find("tf_efficientnet_es.in1k").preprocess
    assert create_model("tf_efficientnet_es", pretrained=True).labels is not None
    twice = create_model("tf_efficientnet_es", pretrained=True, global_pool="catavgmax", in_chans=1)
    assert (twice.classifier.in_features, twice.conv_stem.in_channels) == (2560, 1)
