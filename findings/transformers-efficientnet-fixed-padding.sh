#!/usr/bin/env bash
# transformers 5.24.0, torch 2.13.0, Python 3.11, Linux, CPU.
#
# Expected: the EfficientNet that was ported from TensorFlow pads as SAME does, so a map of side n leaves a stride of 2
#           with side ceil(n / 2), and the network takes images of any size, as in Keras and timm's tf_ networks.
# Happens:  paddings are fixed for the size of the configuration: as for even maps everywhere, but for the blocks that
#           `depthwise_padding` lists by number. Where another size makes odd maps, they are cut: floor, not ceil.
# Seen:     224 px: last map 7 x 7, as SAME. 97 px: 3 x 3, where SAME has 4 x 4.
# Why here: the same weights answer alike in effnet and transformers at the configured size (relative difference 2e-7)
#           and unlike at others. docs/tutorials/migrating.md says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
import math
import sys

import torch
from transformers import EfficientNetConfig, EfficientNetModel

config = EfficientNetConfig(width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, image_size=224)
model = EfficientNetModel(config).eval()
seen = {}
for side in (224, 97):
    with torch.inference_mode():
        seen[side] = model(torch.zeros(1, 3, side, side)).last_hidden_state.shape[-1]
    same = side
    for _ in range(5):
        same = math.ceil(same / 2)
    print(f"{side} px: last map {seen[side]}, with SAME {same}")
if seen[224] != 7:
    sys.exit("changed: the map at 224 px")
if seen[97] != 3:
    sys.exit("changed: odd maps are no longer cut")
PY
