"""EfficientNet-PyTorch's call forms: the same functions as its own, on the same weights."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import effnet
from effnet import EfficientNet
from effnet.errors import EffnetError, InputError, UnknownNameError
from tests.parity.conftest import lively

peer = pytest.importorskip("efficientnet_pytorch")


def pair(side: int = 64, **params: object) -> tuple[EfficientNet, nn.Module, Tensor]:
    """Return ours and theirs with equal weights that show differences, and images (2, 3, side, side)."""
    ours = EfficientNet.from_name("efficientnet-b0", image_size=side, **params)
    network, images = lively(ours.spec, side)
    ours.load_state_dict(network.state_dict())
    theirs = peer.EfficientNet.from_name("efficientnet-b0", image_size=side, **params)
    theirs.load_state_dict(ours.state_dict())
    return ours.eval(), theirs.eval(), images


@pytest.mark.parametrize(
    "method", ["from_name", "from_pretrained", "get_image_size", "extract_features", "extract_endpoints", "set_swish"]
)
def test_the_signatures_are_theirs(method: str) -> None:
    ours, theirs = (inspect.signature(getattr(kind, method)) for kind in (EfficientNet, peer.EfficientNet))
    assert list(ours.parameters) == list(theirs.parameters)
    assert [p.default for p in ours.parameters.values()] == [p.default for p in theirs.parameters.values()]


@pytest.mark.parametrize("side", [64, 65])
def test_logits_features_and_endpoints_agree(side: int) -> None:
    ours, theirs, images = pair(side, num_classes=10)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.extract_features(images), theirs.extract_features(images), rtol=1e-4, atol=1e-4)
        mine, other = ours.extract_endpoints(images), theirs.extract_endpoints(images)
    assert list(mine) == list(other) == [f"reduction_{i}" for i in range(1, 7)]
    for name, feature in mine.items():
        torch.testing.assert_close(feature, other[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "params",
    [
        {"width_coefficient": 0.6, "depth_coefficient": 0.5},
        {"width_coefficient": 1.1, "depth_coefficient": 1.0, "depth_divisor": 4},
        {"batch_norm_epsilon": 1e-1, "dropout_rate": 0.7},
        {"include_top": False},
    ],
)
def test_overridden_parameters_mean_the_same(params: dict[str, object]) -> None:
    if params.get("include_top") is False:
        ours = EfficientNet.from_name("efficientnet-b0", include_top=False)
        theirs = peer.EfficientNet.from_name("efficientnet-b0", include_top=False)
        image = torch.zeros(2, 3, 64, 64)
        assert ours.eval()(image).shape == theirs.eval()(image).shape == (2, 1280, 1, 1)
        return
    ours, theirs, images = pair(**params)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)
    assert ours._dropout.p == theirs._dropout.p


@pytest.mark.parametrize("name", [f"efficientnet-b{i}" for i in range(9)] + ["efficientnet-l2"])
def test_sizes_are_theirs(name: str) -> None:
    assert EfficientNet.get_image_size(name) == peer.EfficientNet.get_image_size(name)


def test_global_params_are_theirs() -> None:
    ours = EfficientNet.from_name("efficientnet-b3", num_classes=7)._global_params
    theirs = peer.EfficientNet.from_name("efficientnet-b3", num_classes=7)._global_params
    assert ours._asdict() == pytest.approx({name: getattr(theirs, name) for name in ours._fields})


def test_training_drops_blocks_at_their_rates() -> None:
    model = EfficientNet.from_name("efficientnet-b0", drop_connect_rate=0.4)
    rates = [block.drop_path.rate for stage in model.features[1:-1] for block in stage]
    assert rates == pytest.approx([0.4 * i / 16 for i in range(16)])
    assert EfficientNet.from_name("efficientnet-b0", drop_connect_rate=None).spec.drop_path == 0


def test_layers_are_read_and_replaced_under_their_names() -> None:
    model = EfficientNet.from_name("efficientnet-b0")
    assert model._fc.in_features == 1280
    model._fc = nn.Linear(model._fc.in_features, 4)
    model._conv_stem = nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False)
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 4)
    assert (model.spec.classes, len(model._blocks)) == (4, 16)
    assert model.classifier[1] is model._fc
    original = peer.EfficientNet.from_name("efficientnet-b0")
    assert list(model.state_dict()) == list(original.state_dict())
    assert [name for name, _ in model.named_children()] == [name for name, _ in original.named_children()]
    assert sorted(model.canonical().state_dict()) == sorted(effnet.create("b0").state_dict())
    copied = copy.deepcopy(model)
    assert isinstance(copied, EfficientNet) and copied._fc is not model._fc
    for parameter in model._conv_head.parameters():
        parameter.requires_grad = False
    assert not model.features[8][0].weight.requires_grad
    with pytest.raises(AttributeError):
        model._nonsense  # noqa: B018


def test_their_checkpoints_load() -> None:
    ours, theirs, images = pair(num_classes=5)
    fresh = EfficientNet.from_name("efficientnet-b0", num_classes=5).eval()
    fresh.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(fresh(images), ours(images))
    fresh.load_state_dict(ours.state_dict())  # ours too
    partial = {name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("_fc")}
    with pytest.raises(RuntimeError, match="_fc"):  # torch's, as there
        fresh.load_state_dict(partial)
    report = fresh.load_state_dict({**partial, "extra": images}, strict=False)
    assert report.missing_keys == ["_fc.weight", "_fc.bias"]
    assert report.unexpected_keys == ["extra"]


def test_pretrained_weights_come_from_a_file(tmp_path: Path) -> None:
    _, theirs, images = pair()
    path = tmp_path / "theirs.pth"
    torch.save(theirs.state_dict(), path)
    with torch.inference_mode():
        same = EfficientNet.from_pretrained("efficientnet-b0", weights_path=str(path)).eval()
        torch.testing.assert_close(same(images), theirs(images), rtol=1e-4, atol=1e-4)
        fresh = EfficientNet.from_pretrained("efficientnet-b0", str(path), num_classes=3, in_channels=1).eval()
        assert fresh(images[:, :1]).shape == (2, 3)
        grey = images.mean(1, keepdim=True)
        torch.testing.assert_close(
            fresh.extract_features(grey), same.extract_features(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4
        )
    assert same.preprocess is not None and same.preprocess.size == 224
    assert same.training is False and all(parameter.requires_grad for parameter in same.parameters())
    assert effnet.Predictor(same).spec.classes == 1000


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: EfficientNet.from_name("efficientnet-b9"), UnknownNameError, "efficientnet_b8"),
        (lambda: EfficientNet.from_name("efficientnet-v2-s"), UnknownNameError, "effnet.create"),
        (lambda: EfficientNet.from_name(3), UnknownNameError, "efficientnet-b0"),  # type: ignore[arg-type]
        (lambda: EfficientNet.from_name("efficientnet-b0", num_clases=3), UnknownNameError, "num_classes"),
        (lambda: EfficientNet.from_name("efficientnet-b0", image_size=(64, 32, 3)), InputError, "(height, width)"),
        (lambda: EfficientNet([], None), InputError, "get_model_params"),
        (lambda: EfficientNet.from_name("efficientnet-b0", min_depth=4), InputError, "min_depth"),
        (lambda: EfficientNet.from_name("efficientnet-b0", dropout_rate="much"), EffnetError, "dropout"),
        (lambda: EfficientNet.from_pretrained("efficientnet-b8"), UnknownNameError, "advprop=True"),
        (lambda: EfficientNet.from_pretrained("efficientnet-l2"), UnknownNameError, "effnet.create"),
        (lambda: EfficientNet.from_pretrained("efficientnet-b0", "none.pth"), InputError, "none.pth"),
        (lambda: EfficientNet.from_pretrained("b0", "w.pth", width_coefficient=2), InputError, "from_name"),
    ],
)
def test_what_cannot_be_is_said(call: object, kind: type[EffnetError], says: str) -> None:
    with pytest.raises(kind) as caught:
        call()  # type: ignore[operator]
    assert says in str(caught.value)


@pytest.mark.parametrize(("advprop", "tag"), [(False, "lukemelas"), (True, "lukemelas_advprop")])
def test_their_published_weights_are_asked_for(
    advprop: bool, tag: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EFFNET_OFFLINE", "1")
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path))
    with pytest.raises(EffnetError) as caught:
        EfficientNet.from_pretrained("efficientnet-b1", advprop=advprop)
    assert f"efficientnet_b1.{tag}" in str(caught.value)
