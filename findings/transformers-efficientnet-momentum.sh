#!/usr/bin/env bash
# transformers 5.24.0, torch 2.13.0, Python 3.11, Linux, CPU.
#
# Expected: the EfficientNet that was ported from Keras keeps Keras' running statistics: Keras' momentum 0.99 (99 % old)
#           becomes torch's momentum 0.01 (1 % new).
# Happens:  0.99 reaches most BatchNorm2d unchanged, where it means 99 % new: after a training step the running
#           statistics are those of the last batch. The stem, the head and the expansions differ: they have torch's 0.1.
# Seen:     34 of 49 norms with momentum 0.99; after one batch of mean 10 a running mean that began at 0 is at about 9.9.
# Why here: fine-tuned with transformers, such a network is judged with one batch's statistics: validation jumps, and a
#           checkpoint that comes to effnet carries them. Evaluate before trusting it, or settle its norms again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
import sys
from collections import Counter

import torch
from transformers import EfficientNetConfig, EfficientNetForImageClassification

config = EfficientNetConfig(width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, image_size=64)
norms = [module for module in EfficientNetForImageClassification(config).modules() if isinstance(module, torch.nn.BatchNorm2d)]
momenta = Counter(norm.momentum for norm in norms)
print(len(norms), "norms:", dict(momenta))
wrong = next((norm for norm in norms if norm.momentum == 0.99), None)
if wrong is None or momenta[0.99] < 30:
    sys.exit("changed: the momentum of Keras no longer reaches torch's norms unchanged")
wrong.train()(torch.full((8, wrong.num_features, 4, 4), 10.0))
print("running mean after one batch of mean 10:", round(float(wrong.running_mean[0]), 2))
if not 9.8 < float(wrong.running_mean[0]) < 10:
    sys.exit("changed: one batch no longer overwrites the running mean")
PY
