"""Networks through the kernels compute, learn, fold and export as without them. In plain torch, so on any machine."""

from __future__ import annotations

import copy
import pickle
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

import effnet
from effnet.errors import InputError
from effnet.kernels import choice
from effnet.nn import Network, build, fold_norms, set_kernels
from effnet.nn.fused import Kernels
from effnet.spec import NetworkSpec
from tests.kernels.networks import close, small

FORMS: tuple[Kernels, ...] = ("triton", "triton-maps")


def pair(spec: NetworkSpec, form: Kernels = "triton") -> tuple[Network, Network]:
    """The same network twice: in torch, and through the kernels' operators."""
    torch.manual_seed(0)
    plain = build(spec)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, std=0.2)
    fused = copy.deepcopy(plain)
    set_kernels(fused, form)
    return plain, fused


def images(n: int = 4, side: int = 32) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(n, 3, side, side).contiguous(memory_format=torch.channels_last)


def calls(network: Network, x: Tensor) -> set[str]:
    """Names of our operators that a forward pass calls."""
    with torch.profiler.profile() as profile:
        network(x)
    return {e.key.removeprefix("effnet::") for e in profile.key_averages() if e.key.startswith("effnet::")}


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("family", ["b0", "v2-b0"])
@pytest.mark.parametrize("form", FORMS)
def test_a_training_step_is_the_same(family: str, padding: str, form: Kernels) -> None:
    plain, fused = pair(small(family, padding), form)
    x, labels = images(), torch.tensor([0, 1, 2, 3])
    results = []
    for network in (plain, fused):
        network.train()
        torch.manual_seed(2)  # drop path and dropout draw the same
        loss = nn.functional.cross_entropy(network(x), labels)
        loss.backward()
        results.append(loss.detach())
    assert close(results[1], results[0])
    for (name, a), b in zip(plain.named_parameters(), fused.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        assert close(b.grad, a.grad, 1e-3), name
    for (name, a), b in zip(plain.named_buffers(), fused.buffers(), strict=True):
        assert close(b.double(), a.double()), name
    expected = {"norm_statistics", "norm_finish", "norm_act"} | (
        {"norm_depthwise", "norm_gate"}
        if form == "triton-maps"
        else {"product", "expanded_depthwise", "product_norm_act", "norm_act_pool", "squeeze_excite"}
    )
    assert calls(fused, x) == expected | ({"depthwise"} if family == "b0" else set())


@pytest.mark.parametrize("family", ["b0", "v2-b0"])
@pytest.mark.parametrize("form", FORMS)
def test_training_curves_coincide(family: str, form: Kernels) -> None:
    curves = []
    for network in pair(small(family), form):
        network.train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        losses = []
        for step in range(8):
            torch.manual_seed(step)
            loss = nn.functional.cross_entropy(network(images(8)), torch.arange(8) % 5)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append(torch.tensor(losses))
    assert curves[0][-1] < curves[0][0], "it learns"
    assert torch.allclose(*curves, rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("family", ["b0", "v2-b0"])
def test_evaluation_and_folded_inference_are_the_same(family: str) -> None:
    plain, fused = pair(small(family, "same"))
    x = images(side=33)
    with torch.no_grad():
        for network in (plain, fused):
            network.train()(images())
            network.eval()
        expected = plain(x)
        assert close(fused(x), expected)
        folded = fold_norms(fused)
        assert close(folded(x), expected)
        used = calls(folded, x)
    assert used == {"pointwise", "depthwise_act_pool", "squeeze_excite"}


@pytest.mark.parametrize("frozen", ["all", "some"])
def test_frozen_norms_learn_the_same(frozen: str) -> None:
    plain, fused = pair(small("b0"))
    for network in (plain, fused):
        network.train(frozen == "some")
        for number, norm in enumerate(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.train(frozen == "some" and number % 2 == 0)
        torch.manual_seed(2)
        network(images()).square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), fused.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        assert close(b.grad, a.grad, 1e-3), name


def test_autocast_keeps_its_dtype() -> None:
    _, fused = pair(small("b0"))
    with torch.autocast("cpu", torch.bfloat16):
        features = fused.train().forward_features(images())
    assert features.dtype == torch.bfloat16
    features.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in fused.features.parameters())


def test_gradient_checkpointing_counts_a_batch_once() -> None:
    plain, fused = pair(small("b0"))
    fused.set_gradient_checkpointing()
    for network in (plain, fused):
        torch.manual_seed(2)
        network.train()(images()).sum().backward()
    for (name, a), b in zip(plain.named_buffers(), fused.buffers(), strict=True):
        assert close(b.double(), a.double()), name


def test_what_no_kernel_covers_stays_torchs() -> None:
    plain, fused = pair(small("b0", activation="relu"))
    assert calls(fused.eval(), images()) == {"product", "product_norm_act"}, "the projections, which have no activation"
    assert close(fused(images()), plain.eval()(images())), "another activation"
    spec = small("b0")
    wide = spec.with_stage(2, kernel=7)
    _, fused = pair(wide)
    plain = build(wide)
    plain.load_state_dict(fused.state_dict())
    assert close(fused.eval()(images()), plain.eval()(images())), "another kernel size"


def test_one_value_a_channel_is_refused_as_torch_does() -> None:
    _, fused = pair(small("b0"))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fused.train()(images(1, 8))


def test_the_switch_changes_no_weights_and_survives_copies() -> None:
    plain, fused = pair(small("v2-b0"))
    assert list(plain.state_dict()) == list(fused.state_dict())
    again = pickle.loads(pickle.dumps(copy.deepcopy(fused)))
    assert calls(again.eval(), images())
    set_kernels(again, "torch")
    assert not calls(again, images())


def test_auto_is_torch_on_a_cpu() -> None:
    network = effnet.create(small("b0"), kernels="auto")
    assert not calls(network.eval(), images())


def test_create_takes_the_switch() -> None:
    assert calls(effnet.create(small("b0"), kernels="triton").eval(), images())
    with pytest.raises(InputError, match="use auto, triton, triton-maps or torch"):
        effnet.create(small("b0"), kernels="cuda")  # type: ignore[arg-type]


def test_an_exported_graph_needs_none_of_our_operators() -> None:
    _, fused = pair(small("b0"))
    program = torch.export.export(fused.eval(), (images(),))
    assert "effnet" not in program.graph_module.code
    assert close(program.module()(images()), fused(images()))
    traced = torch.jit.trace(fused, images(), check_trace=False)
    assert "effnet::" not in str(traced.inlined_graph)


@pytest.mark.parametrize("family", ["b0", "v2-b0"])
def test_compiled_in_one_graph(family: str) -> None:
    _, fused = pair(small(family))
    plain = copy.deepcopy(fused)
    compiled = torch.compile(fused, backend="aot_eager", fullgraph=True)
    for network in (compiled, plain):
        network.train()(images()).square().sum().backward()
    for a, b in zip(fused.parameters(), plain.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        assert close(a.grad, b.grad, 1e-3) or b.grad.norm() < 1e-3
    folded = fold_norms(plain)
    with torch.no_grad():
        assert close(torch.compile(folded, backend="aot_eager", fullgraph=True)(images()), folded(images()))


def test_inference_set_steps_aside_where_gradients_are_wanted() -> None:
    _, fused = pair(small("b0"))
    folded = fold_norms(fused.eval())
    x = images().requires_grad_()
    folded(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def row(
    ratio: float, channels: int, device: str = "GPU", kernels: Literal["triton", "triton-maps"] = "triton"
) -> choice.Row:
    sizes = {"kernel": 3, "stride": 1, "channels": channels, "pixels": 1000}
    return choice.Row(device=device, phase="train", kind="mbconv", ratio=ratio, kernels=kernels, **sizes)


def test_the_table_decides_by_the_nearest_measured_block() -> None:
    rows = [row(1.4, 64), row(1.5, 64, kernels="triton-maps"), row(0.9, 512), row(2.0, 512, device="other")]

    def chosen(channels: int, device: str = "GPU", phase: choice.Phase = "train") -> choice.Form:
        return choice.chosen(rows, device, phase, "mbconv", 3, 1, channels, 2000)

    assert chosen(96) == "triton-maps" and chosen(400) == "torch"
    assert chosen(96, "other") == "triton"
    assert chosen(96, "unmeasured") == chosen(96, phase="infer") == "torch"


def test_the_committed_table_reads() -> None:
    assert all(r.ratio > 0 and r.kind in ("mbconv", "fused_mbconv", "conv") for r in choice.table())
