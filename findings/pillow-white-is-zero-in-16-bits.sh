#!/usr/bin/env bash
# pillow 13.0.0, tifffile 2026.3.3, Python 3.11, Linux.
#
# Expected: a TIFF whose PhotometricInterpretation is WhiteIsZero (scanners, radiographs) stores white as 0, and a reader
#           that gives "grey levels" turns it round, whatever its depth.
# Happens:  Pillow turns 8-bit ones round and leaves 16-bit ones as they are stored: a negative.
# Seen:     8 bits: WhiteIsZero 255 -> 0 (black), BlackIsZero 255 -> 255. 16 bits: 65535 -> 65535 in both.
# Why here: an X-ray set that mixes depths, or was converted from 8 to 16 bits, is half negative to a network, and no
#           one sees it: every file opens. effnet's decoder turns 16-bit ones round itself (tests/data/test_decode.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
"$folder/env/bin/python" - "$folder/grey.tif" <<'PY'
import sys

import numpy as np
import tifffile
from PIL import Image

seen = {}
for dtype in (np.uint8, np.uint16):
    top = np.iinfo(dtype).max
    for photometric in ("miniswhite", "minisblack"):
        tifffile.imwrite(sys.argv[1], np.full((8, 8), top, dtype), photometric=photometric)
        with Image.open(sys.argv[1]) as image:
            seen[dtype.__name__, photometric] = int(np.asarray(image)[0, 0])
            print(dtype.__name__, photometric, image.mode, f"{top} -> {seen[dtype.__name__, photometric]}")
if seen["uint8", "miniswhite"] != 0 or seen["uint8", "minisblack"] != 255:
    sys.exit("changed: 8-bit WhiteIsZero is no longer turned round")
if seen["uint16", "miniswhite"] != 65535:
    sys.exit("changed: 16-bit WhiteIsZero is no longer read as it is stored")
PY
