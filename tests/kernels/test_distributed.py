"""Several processes: gradients are averaged as torch's are, and synchronised norms stay torch's. In plain torch."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from effnet.nn import Network, build, set_kernels
from tests.kernels.networks import close, small


def network() -> Network:
    torch.manual_seed(0)
    return build(small("b0"))


def shard(rank: int) -> Tensor:
    torch.manual_seed(10 + rank)
    return torch.randn(3, 3, 32, 32)


def exchange(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    model = network().train()
    set_kernels(model, "triton")
    wrapped = DistributedDataParallel(model)
    torch.manual_seed(rank)
    wrapped(shard(rank)).square().sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    torch.save(gradients, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_average_what_torch_computes(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(exchange, (str(tmp_path),), nprocs=2)
    ours = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    singles = []
    for rank in range(2):
        plain = network().train()
        torch.manual_seed(rank)  # drop path and dropout draw the same
        plain(shard(rank)).square().sum().backward()
        singles.append({name: p.grad for name, p in plain.named_parameters()})
    for name in singles[0]:
        assert torch.equal(ours[0][name], ours[1][name])
        assert close(ours[0][name], (singles[0][name] + singles[1][name]) / 2, 2e-3), name


def test_synchronised_norms_run_torchs_way_whole() -> None:
    """Whichever comes first, the switch or the conversion; without a process group torch's layer is ordinary."""
    plain = network().train()
    x = shard(0)
    for switch_first in (True, False):
        model = copy.deepcopy(plain)
        if switch_first:
            set_kernels(model, "triton")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if not switch_first:
            set_kernels(model, "triton")
        with torch.profiler.profile() as profile:
            torch.manual_seed(2)
            ours = model(x)
        assert not [e.key for e in profile.key_averages() if e.key.startswith("effnet::")]
        torch.manual_seed(2)
        assert torch.equal(ours, copy.deepcopy(plain)(x))
        ours.square().sum().backward()
        assert all(p.grad is not None for p in model.parameters())
