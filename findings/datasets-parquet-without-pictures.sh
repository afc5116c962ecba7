#!/usr/bin/env bash
# datasets 5.2.0, pyarrow 26.0.1, pillow 13.0.0, Python 3.11, Linux.
#
# Expected: load_dataset("imagefolder").to_parquet(FILE) writes one file that holds the pictures, as push_to_hub does.
# Happens:  it writes where they lie on this machine: {"bytes": None, "path": "/..."}; the Parquet file of six pictures of
#           12 kB each has under 2 kB and is worth nothing elsewhere. Nothing is said.
# Seen:     bytes None, path .../a/0.png, 1,7xx bytes of Parquet for 74,520 bytes of pictures.
# Why here: such files are handed over as data sets. effnet reads a Parquet file with pictures in it; of one like this it
#           says which files are missing instead of training on fewer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 pillow==13.0.0 numpy==2.4.6
HF_HOME="$folder/home" "$folder/env/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
from datasets import load_dataset
from PIL import Image

folder = Path(sys.argv[1])
for name in ("a", "b"):
    (folder / "pictures" / name).mkdir(parents=True)
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "pictures" / name / f"{number}.png")
pictures = sum(path.stat().st_size for path in folder.glob("pictures/*/*.png"))
data = load_dataset("imagefolder", data_dir=str(folder / "pictures"), split="train", cache_dir=str(folder / "cache"))
data.to_parquet(folder / "set.parquet")
rows = pyarrow.parquet.read_table(folder / "set.parquet").to_pylist()
size = (folder / "set.parquet").stat().st_size
print(f"{len(rows)} rows, bytes {rows[0]['image']['bytes']}, {size} bytes of Parquet for {pictures} bytes of pictures")
if any(row["image"]["bytes"] for row in rows) or size > pictures:
    sys.exit("changed: the pictures are in the Parquet file now")
if not all(Path(row["image"]["path"]).is_absolute() for row in rows):
    sys.exit("changed: paths are no longer absolute")
PY
