"""Folding norms keeps the function and removes the norms."""

import pytest
import torch
from torch import nn

from effnet.families import find
from effnet.nn import build, fold_norms


@pytest.mark.parametrize("name", ["b0", "lite0", "v2-b0", "resnet18", "resnet50", "edgetpu-s"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_folded_network_computes_the_same(name: str, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    network = build(find(name).replace(classes=10))
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        # Real statistics: one pass that replaces the running ones by the batch's.
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                nn.init.uniform_(module.weight, 0.7, 1.3)
        network.train()(x)
        network = network.eval().to(memory_format=layout)
        expected = network(x)
        folded = fold_norms(network)
        result = folded(x)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules()), "the original is untouched"
    assert torch.allclose(result, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())
    assert folded.spec == network.spec


def test_synchronised_norms_fold_too() -> None:
    torch.manual_seed(0)
    network = build(find("lite0").replace(classes=10)).eval()
    x = torch.randn(1, 3, 64, 64)
    folded = fold_norms(nn.SyncBatchNorm.convert_sync_batchnorm(network))
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), fold_norms(network)(x))
