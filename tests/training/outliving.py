"""What each process of test_distributed.py runs to see that networks may outlive the group that they learnt in.

torchrun --nproc-per-node 2 -m tests.training.outliving
"""

from __future__ import annotations

import faulthandler
import os
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from effnet.training.distributed import join
from tests.training.rank import PATIENCE

GROUPS = 20


def main() -> None:
    """Leave a group right after an exchange, whose thread then still holds tensors, and forget the network after it."""
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(PATIENCE / 3, exit=True)
    sys.setswitchinterval(1000)  # nobody else gets the interpreter's lock unless it is given away
    for number in range(GROUPS):
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(number)  # else the groups would meet under one name
        with join(torch.device("cpu")) as world:
            network = DistributedDataParallel(nn.Linear(4, 4))
            mine = torch.ones(1000)
            dist.all_gather([torch.empty(1000) for _ in range(world.size)], mine)
            del mine
        del network


if __name__ == "__main__":
    main()
