"""Networks built from specs: names, shapes, and every way people run them."""

import copy
import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from effnet.errors import InputError
from effnet.families import find
from effnet.nn import Network, build
from effnet.spec import BlockSpec, HeadSpec, NetworkSpec, StageSpec, StemSpec


def small(**changes: object) -> NetworkSpec:
    """Return a network with every kind of EfficientNet block, quick enough to run in any mode."""
    fused = BlockSpec(kind="fused_mbconv", expand_ratio=4.0, se_ratio=0.0)
    spec = NetworkSpec(
        name="small",
        stem=StemSpec(channels=8),
        stages=(
            StageSpec(block=BlockSpec(expand_ratio=1.0), channels=8, repeats=1),
            StageSpec(block=fused, channels=16, repeats=2, stride=2),
            StageSpec(block=BlockSpec(kernel=5), channels=24, repeats=2, stride=2),
        ),
        head=HeadSpec(channels=32, dropout=0.2),
        classes=7,
        resolution=32,
        drop_path=0.2,
    )
    return spec.replace(**changes)


@pytest.fixture(autouse=True)
def forget_compilations() -> None:
    """Start each test like a fresh process: after several networks the compiler would try to generalise over them."""
    torch.compiler.reset()


@pytest.fixture(scope="module")
def batch() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_state_dict_names_are_torchvisions() -> None:
    names = set(build(find("b0"), weights=False).state_dict())
    assert len(names) == 360
    assert {
        "features.0.0.weight",
        "features.0.1.running_mean",
        "features.1.0.block.0.0.weight",
        "features.1.0.block.1.fc1.bias",
        "features.1.0.block.2.1.weight",
        "features.2.1.block.2.fc2.weight",
        "features.7.0.block.3.0.weight",
        "features.8.1.num_batches_tracked",
        "classifier.1.bias",
    } <= names
    fused = build(find("v2-s"), weights=False).state_dict()
    assert fused["features.1.0.block.0.0.weight"].shape == (24, 24, 3, 3)
    assert fused["features.2.0.block.1.0.weight"].shape == (48, 96, 1, 1)
    assert fused["features.7.0.weight"].shape == (1280, 256, 1, 1)


@pytest.mark.parametrize("name", ["b0", "v2-b0", "lite0", "edgetpu-s", "mnasnet_a1", "resnet18", "resnet50"])
def test_every_kind_of_network_runs(name: str) -> None:
    network = build(find(name).replace(classes=5)).eval()
    with torch.inference_mode():
        logits = network(torch.randn(1, 3, 40, 40))
    assert logits.shape == (1, 5)
    assert logits.isfinite().all()


def test_classifier_can_be_replaced_as_in_torchvision(batch: Tensor) -> None:
    network = build(small())
    network.labels, network.temperature = tuple("abcdefg"), 2.0
    network.classifier[1] = nn.Linear(32, 10)
    assert network(batch).shape == (2, 10)
    assert (network.spec.classes, network.labels, network.temperature) == (10, None, 1.0)
    network.classifier = nn.Linear(32, 3)
    assert network.spec.classes == 3
    network.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(32, 5))
    network.labels = tuple("vwxyz")
    assert (network.spec.classes, network.labels) == (5, tuple("vwxyz"))
    network.reset_classifier(4)
    assert network(batch).shape == (2, 4)
    assert network.spec.classes == 4
    network.reset_classifier(0)
    assert network(batch).shape == (2, 32)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_number_of_input_channels(channels: int) -> None:
    assert build(small(in_channels=channels))(torch.randn(2, channels, 32, 32)).shape == (2, 7)


def test_small_images_keep_their_resolution_with_stem_stride_1() -> None:
    network = build(small(stem=StemSpec(channels=8, stride=1)))
    assert network.forward_features(torch.randn(1, 3, 32, 32)).shape == (1, 32, 8, 8)


@pytest.mark.parametrize("name", ["b0", "v2-s", "resnet50"])
def test_pyramid_has_one_map_a_stride(name: str) -> None:
    network = build(find(name)).eval()
    assert [stride for stride, _ in network.pyramid] == [2, 4, 8, 16, 32]
    with torch.inference_mode():
        levels = network.forward_pyramid(torch.randn(1, 3, 70, 70))
    for (stride, channels), level in zip(network.pyramid, levels, strict=True):
        assert level.shape == (1, channels, math.ceil(70 / stride), math.ceil(70 / stride))


def test_pyramid_ends_where_the_head_begins(batch: Tensor) -> None:
    network = build(small()).eval()
    with torch.inference_mode():
        assert torch.equal(network.features[-1](network.forward_pyramid(batch)[-1]), network.forward_features(batch))


@pytest.mark.parametrize("synchronised", [False, True])
def test_gradient_checkpointing_changes_nothing_but_memory(batch: Tensor, synchronised: bool) -> None:
    """Same loss, same gradients, same running statistics, with drop path and dropout on."""
    plain = build(small()).train()
    if synchronised:
        plain = nn.SyncBatchNorm.convert_sync_batchnorm(plain)
    saving = copy.deepcopy(plain)
    saving.set_gradient_checkpointing()
    saved = []
    for network in (plain, saving):
        torch.manual_seed(3)
        kept: list[int] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t, k=kept: (k.append(t.numel()), t)[1], lambda t: t)
        with hooks:
            loss = network(batch).square().sum()
        loss.backward()
        saved.append(sum(kept))
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state_dict().values(), saving.state_dict().values(), strict=True)
    )
    pairs = zip(plain.parameters(), saving.parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-6) for a, b in pairs)  # type: ignore[arg-type]
    assert saved[1] < 0.5 * saved[0]


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_trace_export_compile_and_channels_last_agree(padding: str, batch: Tensor) -> None:
    spec = small().with_conventions(padding=padding)
    network = build(spec).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = network(batch)
        traced = torch.jit.trace(network, batch)(batch)
        exported = torch.export.export(network, (batch,)).module()(batch)
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")(batch)
        last = network.to(memory_format=torch.channels_last)(batch.to(memory_format=torch.channels_last))
    for result in (traced, exported, compiled, last):
        assert torch.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["b0", "v2-b0", "resnet18"])
def test_whole_networks_are_captured_in_one_graph(name: str) -> None:
    """Without a graph break, in training mode; what compiles the graph afterwards does not matter here."""
    network = build(find(name).replace(classes=3)).train()
    captured = torch.compile(network, fullgraph=True, backend="eager")
    captured(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_compiled_training_steps_compute_the_same(batch: Tensor) -> None:
    """Forward and backward through the compiler's own autograd."""
    network = build(small(drop_path=0.0, head=HeadSpec(channels=32))).train()
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True, backend="aot_eager")
    for model in (network, compiled):
        model(batch).square().sum().backward()
    for ours, theirs in zip(network.parameters(), compiled.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)  # type: ignore[arg-type]


def test_initialisation_follows_the_released_code() -> None:
    torch.manual_seed(0)
    network = build(find("b0"))
    state = network.state_dict()
    stem = state["features.0.0.weight"]
    assert stem.std().item() == pytest.approx(math.sqrt(2 / (9 * 32)), rel=0.1)
    depthwise = state["features.6.1.block.1.0.weight"]
    assert depthwise.shape == (1152, 1, 5, 5)
    assert depthwise.std().item() == pytest.approx(math.sqrt(2 / 25), rel=0.05), "fan k*k, not C*k*k"
    linear = state["classifier.1.weight"]
    assert linear.abs().max().item() <= 1 / math.sqrt(1000)
    assert linear.std().item() == pytest.approx(1 / math.sqrt(3 * 1000), rel=0.02)
    assert state["classifier.1.bias"].abs().max() == 0
    assert state["features.2.0.block.0.1.weight"].eq(1).all()
    assert state["features.2.0.block.0.1.running_var"].eq(1).all()
    assert state["features.1.0.block.1.fc1.bias"].eq(0).all()


def test_drop_path_grows_linearly_with_depth() -> None:
    network = build(find("b0"), weights=False)
    rates = [m.drop_path.rate for stage in network.features[1:-1] for m in stage]  # type: ignore[union-attr]
    assert rates == pytest.approx([0.2 * i / 16 for i in range(16)])


def test_building_without_weights_allocates_nothing() -> None:
    assert all(p.is_meta for p in build(find("l2"), weights=False).parameters())


def test_build_takes_only_specs() -> None:
    with pytest.raises(InputError, match=r"effnet\.create"):
        build("b0")  # type: ignore[arg-type]


def test_deepcopy_and_pickle_keep_the_network(batch: Tensor, tmp_path: object) -> None:
    network: Network = build(small()).eval()
    again = copy.deepcopy(network)
    assert again.spec == network.spec
    with torch.inference_mode():
        assert torch.equal(again(batch), network(batch))
