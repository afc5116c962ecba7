#!/usr/bin/env bash
# timm 1.0.31, pillow 13.0.0, numpy 2.4.6, Python 3.11, Linux. Only timm's file of augmentations is loaded (no torch).
#
# Expected: the published recipes of the EfficientNets (rand-m9-mstd0.5-inc1, AutoAugment "v0") run on any supported Pillow.
# Happens:  "increasing" posterize keeps 0 bits at magnitude 10, and v0 asks for 0 bits at its lowest levels. Pillow
#           before 13 took that as a black picture, Pillow 13 raises ValueError: the loader's worker dies after some
#           hundreds of images, at another one for every seed.
# Seen:     of 3,000 images each: rand-m9-mstd0.5-inc1 4 errors, rand-m10-inc1 199, v0 83, original 0.
# Why here: people bring these recipes along; effnet's policies of the same names keep at least one bit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps timm==1.0.31
"$folder/env/bin/python" - "$folder"/env/lib/python3*/site-packages/timm/data/auto_augment.py <<'PY'
import importlib.util
import random
import sys

import numpy as np
from PIL import Image

spec = importlib.util.spec_from_file_location("auto_augment", sys.argv[1])
policies = importlib.util.module_from_spec(spec)
spec.loader.exec_module(policies)
picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def errors(name, images=3000):
    random.seed(0)
    np.random.seed(0)
    make = policies.rand_augment_transform if name.startswith("rand") else policies.auto_augment_transform
    policy, found = make(name, {}), 0
    for _ in range(images):
        try:
            policy(picture)
        except ValueError as error:
            if "bits" not in str(error):
                raise
            found += 1
    return found


counts = {name: errors(name) for name in ("rand-m9-mstd0.5-inc1", "rand-m10-inc1", "v0", "original")}
print(counts)
for name in ("rand-m9-mstd0.5-inc1", "rand-m10-inc1", "v0"):
    if not counts[name]:
        sys.exit(f"changed: {name} no longer raises")
if counts["original"]:
    sys.exit("changed: the policy 'original' raises too")
PY
