"""torchvision.models' call forms; its layouts are compared with the library's own tensors in tests/parity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import effnet
from effnet import models
from effnet.data.preprocess import to_batch, to_pixels
from effnet.errors import EffnetError, InputError, UnknownNameError, WeightsError
from effnet.weights import layouts, store
from effnet.weights.published import find, published

BUILDERS = [
    *(f"efficientnet_b{i}" for i in range(8)),
    *(f"efficientnet_v2_{size}" for size in "sml"),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
]


@pytest.fixture
def in_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put random weights of ResNet-18 and B0 where a download would put them."""
    files = {}
    for tag, name in (("resnet18.tv_in1k_v1", "resnet18"), ("efficientnet_b0.tv_in1k_v1", "b0")):
        network = effnet.create(name)
        files[tag] = tmp_path / f"{tag}.pth"
        torch.save(layouts.from_native(network.state_dict(), network.spec, "torchvision"), files[tag])
    monkeypatch.setattr(store, "fetch", lambda weights, **_: files[weights.tag])


def test_every_builder_of_theirs_that_we_have_is_listed() -> None:
    assert models.list_models() == sorted(BUILDERS)
    assert models.list_models(include="*v2*") == ["efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s"]
    assert models.list_models(include=["resnet*"], exclude="*1*") == ["resnet34", "resnet50"]
    assert models.list_models(models, include=[], exclude={}) == sorted(BUILDERS)
    assert models.list_models(module=effnet) == []
    assert models.list_models(include="*not-there*") == []
    for name in BUILDERS:
        assert models.get_model_builder(name) is getattr(models, name)
        assert getattr(models, name).__module__.startswith("effnet.models.")
    lower = {n for n, v in vars(models).items() if callable(v) and n[0].islower() and n not in models._api.__all__}
    assert lower == set(BUILDERS)


@pytest.mark.parametrize("name", BUILDERS)
def test_weights_are_those_that_torchvision_published(name: str) -> None:
    enum = models.get_model_weights(name)
    for member in enum:
        weights = member.published
        assert weights.source == "torchvision"
        assert member.url == weights.url
        assert member.name == weights.tag.rpartition("tv_in1k_")[2].upper().join(("IMAGENET1K_", ""))
        meta = member.meta
        assert meta["num_params"] == published(weights.variant).params
        assert meta["_metrics"]["ImageNet-1K"]["acc@1"] == weights.top1
        assert len(meta["categories"]) == 1000 and meta["categories"][639] == "maillot tank suit"
        assert meta["min_size"] == ((33, 33) if "v2" in name else (1, 1))
        # 4 bytes a parameter, the statistics of norms beside them, and what a zip file adds
        assert 1 < meta["_file_size"] * 2**20 / (4 * meta["num_params"]) < 1.02
        macs = effnet.cost_of(effnet.find(name), resolution=member.transforms().crop_size[0]).macs
        assert meta["_ops"] == pytest.approx(macs / 1e9, rel=0.01)
        assert meta["recipe"].startswith("https://github.com/pytorch/vision/")
        assert member.transforms().preprocess == weights.preprocess
        assert models.get_weight(f"{enum.__name__}.{member.name}") is member
    tags = [member.value for member in enum]
    assert enum.DEFAULT.value == tags[-1] == max(tags)  # the newest is the best
    assert getattr(models, enum.__name__) is enum
    assert models.get_model_weights(getattr(models, name)) is enum


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_v2_s", "resnet18"])
def test_fresh_networks_are_the_catalogues(name: str) -> None:
    model = getattr(models, name)(num_classes=3, dropout=0.5, stochastic_depth_prob=0.1)
    spec = effnet.find(name)
    assert (model.spec.stages, model.spec.conventions) == (spec.stages, spec.conventions)
    assert (model.spec.classes, model.spec.head.dropout, model.spec.drop_path) == (3, 0.5, 0.1)
    assert isinstance(models.get_model(name.upper()), effnet.Network)


def test_the_classifier_is_replaced_as_in_their_tutorials() -> None:
    model = models.efficientnet_b0()
    model.classifier[1] = nn.Linear(model.classifier[1].in_features, 10)
    assert (model(torch.zeros(2, 3, 32, 32)).shape, model.spec.classes) == ((2, 10), 10)
    residual = models.resnet18()
    residual.fc = nn.Linear(residual.fc.in_features, 10)
    assert (residual(torch.zeros(2, 3, 32, 32)).shape, residual.spec.classes) == ((2, 10), 10)
    assert residual.conv1 is residual.features[0][0] and residual.layer4 is residual.features[4]
    assert [name for name, _ in residual.named_children()] == [
        "conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"
    ]  # fmt: skip


def test_their_state_dicts_load_into_resnet() -> None:
    theirs = models.resnet18(num_classes=4)
    foreign = layouts.from_native(theirs.state_dict(), theirs.spec, "torchvision")
    assert "layer1.0.conv1.weight" in foreign
    ours = models.resnet18(num_classes=4)
    ours.load_state_dict(foreign)
    assert torch.equal(ours.fc.weight, theirs.fc.weight)
    ours.load_state_dict(theirs.state_dict())
    with pytest.raises(WeightsError):
        ours.load_state_dict({name: tensor for name, tensor in foreign.items() if name != "fc.bias"})


@pytest.mark.usefixtures("in_cache")
@pytest.mark.parametrize(
    "weights",
    [
        models.EfficientNet_B0_Weights.IMAGENET1K_V1,
        models.EfficientNet_B0_Weights.DEFAULT,
        "IMAGENET1K_V1",
        "DEFAULT",
        "EfficientNet_B0_Weights.IMAGENET1K_V1",
    ],
)
def test_weights_in_every_form(weights: object) -> None:
    model = models.efficientnet_b0(weights=weights, progress=False)
    assert model.labels is not None and len(model.labels) == 1000
    assert model.preprocess == find("efficientnet_b0.tv_in1k_v1").preprocess
    member = models.EfficientNet_B0_Weights.verify(weights)
    assert member is not None
    model.load_state_dict(member.get_state_dict(progress=True, check_hash=True))


@pytest.mark.usefixtures("in_cache")
def test_labels_go_when_the_classifier_goes() -> None:
    model = models.efficientnet_b0(weights="DEFAULT")
    model.classifier[1] = nn.Linear(1280, 10)
    prediction = effnet.Predictor(model).predict(np.zeros((40, 40, 3), np.uint8))
    assert prediction.error is None and prediction.label not in (effnet.create("b0", weights="imagenet").labels or ())
    whole = models.efficientnet_b0(weights="DEFAULT", num_classes=7)
    assert (whole.spec.classes, whole.labels) == (7, None)


@pytest.mark.usefixtures("in_cache")
def test_the_old_form_warns_and_loads_the_first_weights() -> None:
    with pytest.warns(UserWarning, match=r"deprecated.*ResNet18_Weights\.IMAGENET1K_V1"):
        assert models.resnet18(pretrained=True).labels is not None
    with pytest.warns(UserWarning, match="weights=None"):
        assert models.resnet18(pretrained=False).labels is None
    with pytest.warns(UserWarning, match="positional"):
        assert models.resnet18(True).labels is not None
    with pytest.raises(InputError):
        models.resnet18(weights="DEFAULT", pretrained=True)


def test_transforms_are_the_predictors_pixels() -> None:
    weights = models.EfficientNet_B0_Weights.DEFAULT
    transform = weights.transforms()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    expected = to_batch([to_pixels(image, weights.published.preprocess)], weights.published.preprocess)[0]
    assert torch.equal(transform(image), expected)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    assert torch.equal(transform(tensor), expected)
    assert torch.equal(transform(torch.stack([tensor, tensor]))[1], expected)
    assert transform(image.convert("L")).shape == (3, 224, 224)
    assert (transform.crop_size, transform.resize_size) == ([224], [256])
    assert "224 px" in repr(transform)
    small = weights.transforms(crop_size=32, resize_size=40, mean=(0.5,) * 3, std=[0.5] * 3, antialias=True)
    assert small(image).shape == (3, 32, 32)
    assert (small.resize_size, small.mean) == ([40], [0.5] * 3)
    for wrong in (pixels, tensor.int(), torch.zeros(3, 3), "photo.jpg"):
        with pytest.raises(InputError):
            transform(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        weights.transforms(antialias=False)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: models.efficientnet_b0(weights="IMAGENET1K_V3"), "IMAGENET1K_V1"),
        (lambda: models.efficientnet_b0(weights=models.ResNet50_Weights.IMAGENET1K_V2), "ResNet50_Weights"),
        (lambda: models.resnet18(norm_layers=nn.BatchNorm2d), "norm_layer"),
        (lambda: models.efficientnet_b0(zero_init_residual=True), "stochastic_depth_prob"),
        (lambda: models.get_model("efficientnet_b9"), "efficientnet_b"),
        (lambda: models.get_weight("EfficientNet_B9_Weights.DEFAULT"), "EfficientNet_B"),
        (lambda: models.get_weight("EfficientNet_B0_Weights"), "DEFAULT"),
        (lambda: models.get_model_weights(len), "unknown model"),
    ],
)
def test_what_is_not_there_is_said(call: object, says: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        call()  # type: ignore[operator]
    assert says in str(caught.value)
    assert isinstance(caught.value, EffnetError)


def test_names_and_weights_need_no_torch() -> None:
    code = "import sys; from effnet import models; models.ResNet50_Weights.DEFAULT.meta; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert effnet.models is models
