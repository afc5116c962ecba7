#!/usr/bin/env bash
# torch 2.13.0, Python 3.11, Linux, CPU.
#
# Expected: AveragedModel(use_buffers=True) averages the running statistics of batch norms; their counter
#           num_batches_tracked, a whole number that counts steps, is copied as it is.
# Happens:  the counter is averaged like a weight and cut to a whole number at every step, so it falls behind and, with
#           a plain average (SWA), never leaves 1.
# Seen:     after 31 steps: the model has 31, its moving average (decay 0.9) 21, its plain average 1.
# Why here: a norm with momentum=None (cumulative statistics, the usual way to settle norms after averaging) divides by
#           this counter: training goes on from an averaged model as if it had seen a fraction of its batches. effnet's
#           own average copies counters (tests/training/test_ema.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
import sys

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

torch.manual_seed(0)
seen = {}
for name, average in (("moving", get_ema_multi_avg_fn(0.9)), ("plain", None)):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    for _ in range(31):
        model(torch.randn(2, 3, 4, 4))
        averaged.update_parameters(model)
    seen[name] = int(averaged.module[1].num_batches_tracked)
    print(f"model {int(model[1].num_batches_tracked)}, {name} average {seen[name]}")
if seen["moving"] == 31:
    sys.exit("changed: the counter of the moving average is right now")
if seen["plain"] == 31:
    sys.exit("changed: the counter of the plain average is right now")
PY
