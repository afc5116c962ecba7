#!/usr/bin/env bash
# efficientnet_pytorch 0.7.1, torch 2.13.0, Python 3.11, Linux, CPU.
#
# Expected: EfficientNet.from_pretrained(name, weights_path=MY_FILE, num_classes=10) loads my 10-class file whole.
# Happens:  unless num_classes is 1000 the classifier of the file is thrown away, even where it fits; the new one is
#           random, another at every call, and "Loaded pretrained weights" is printed.
# Seen:     trunk equal True, classifier equal False, two calls give equal classifiers False.
# Why here: code that saves a fine-tuned network and loads it this way predicts at chance and says nothing. effnet's door
#           of the same name keeps a classifier that fits (tests/migration/test_lukemelas.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 setuptools wheel
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation efficientnet-pytorch==0.7.1
"$folder/env/bin/python" - "$folder/mine.pth" <<'PY'
import sys

import torch
from efficientnet_pytorch import EfficientNet

mine = EfficientNet.from_name("efficientnet-b0", num_classes=10)
torch.save(mine.state_dict(), sys.argv[1])
one, other = (EfficientNet.from_pretrained("efficientnet-b0", weights_path=sys.argv[1], num_classes=10) for _ in range(2))
trunk = torch.equal(one._conv_head.weight, mine._conv_head.weight)
head = torch.equal(one._fc.weight, mine._fc.weight)
same = torch.equal(one._fc.weight, other._fc.weight)
print(f"trunk equal {trunk}, classifier equal {head}, two calls give equal classifiers {same}")
if not trunk:
    sys.exit("changed: not even the trunk is loaded")
if head:
    sys.exit("changed: a classifier that fits is kept now")
if same:
    sys.exit("changed: the classifier is no longer random")
PY
