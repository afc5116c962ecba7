"""12 bits in 16: found in the set, said, set once, and kept by everything that the model becomes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import effnet
from effnet.cli import main
from effnet.data.decode import decode, decode_array
from effnet.data.deep import Range, range_remarks, used_range
from effnet.data.doctor import check
from effnet.data.sources import open_dataset
from effnet.errors import InputError, SpecError
from effnet.preprocessing import Preprocess

from .test_decode import encoded, png, tiff


def ramp(bits: int, side: int = 64, seed: int = 0) -> NDArray[np.uint16]:
    noise = np.random.default_rng(seed).integers(0, 1 << bits, (8, 8), dtype=np.uint16)
    noise[0, 0] = (1 << bits) - 1
    return np.repeat(np.repeat(noise, side // 8, 0), side // 8, 1)


def scans(root: Path, bits: int, *, each: int = 10) -> Path:
    for number in range(2 * each):
        folder = root / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(encoded(Image.fromarray(ramp(bits, seed=number)), "PNG"))
    return root


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_white_makes_of_few_bits_what_eight_are(bits: int, kind: str) -> None:
    values = ramp(bits)
    data = encoded(Image.fromarray(values), kind)
    white = (1 << bits) - 1
    expected = np.round(values * (255 / white)).astype(int)
    for found in (np.asarray(decode(data, white=white)), decode_array(data, white=white)):
        assert np.abs(found[..., 0] - expected).max() <= 1
    assert np.asarray(decode(data)).max() <= 64
    assert used_range(data) == Range(white, grey=True)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("least", [0, -1024])
def test_signed_wide_and_float_values_have_a_white_too(kind: int, least: int) -> None:
    if kind == 1 and least:
        return
    values = np.linspace(least, 3071, 64).reshape(8, 8)
    bits, numbers = {1: (32, "<u4"), 2: (16, "<i2"), 3: (32, "<f4")}[kind]
    data = tiff(8, 8, bits, values.astype(numbers).tobytes(), kind=kind)
    assert used_range(data) == Range(3071, grey=True)
    expected = (values - least) * 255 / (4095 - least)
    assert np.abs(np.asarray(decode(data, white=4095))[..., 0] - expected).max() <= 1


def test_white_leaves_other_images_alone_and_clips() -> None:
    full = encoded(Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256)), "PNG")
    pixels = np.asarray(decode(full, white=4095))[..., 0].ravel()
    assert (pixels[4095:] == 255).all() and pixels[2048] in (127, 128)
    for kind in ("JPEG", "PNG", "TIFF"):
        data = encoded(Image.effect_noise((32, 32), 60), kind)
        assert np.array_equal(np.asarray(decode(data, white=4095)), np.asarray(decode(data)))
    with pytest.raises(InputError, match="white"):
        decode(full, white=0)


def test_the_range_of_a_set_is_told() -> None:
    def said(tops: list[int], grey: bool = True) -> list[tuple[str, str, str]]:
        return [(r.severity, r.what, r.fix) for r in range_remarks([Range(top, grey) for top in tops])]

    ((severity, what, fix),) = said([4080, 4000, 4095])
    assert severity == "warning" and "up to 4095 of 65535: 16 grey levels of 256" in what and "white=4095" in fix
    assert "white=1023" in said([1000] * 3)[0][2]
    assert "white=16383" in said([16000] * 3)[0][2]
    assert "(1 reach more)" in said([4000] * 39 + [65535])[0][1]  # a burnt-in letter
    assert said([65535] * 20 + [4000, 300]) == [] and said([0, 0]) == [] and said([]) == []
    ((severity, what, _),) = said([65535, 4000, 300])  # no one white fits all
    assert severity == "warning" and "2 of 3 images of 16 bits use only values up to 4000" in what
    assert "8 bits" in said([4095], grey=False)[0][2]


def test_colour_of_few_bits_is_told_too() -> None:
    rows = ramp(12)[:4, :4].astype(">u2")
    data = png(4, 4, 16, 2, np.repeat(rows.reshape(-1), 3).tobytes())
    found = used_range(data)
    assert found is not None and not found.grey and found.brightest == 4095


def test_the_check_finds_it_and_full_range_is_as_before(tmp_path: Path) -> None:
    found = {f.kind: f for f in check(open_dataset(scans(tmp_path / "x", 12))).findings}
    assert "deep" not in found
    assert found["used_range"].severity == "warning" and "20 images of 16 bits" in found["used_range"].what
    found = {f.kind: f for f in check(open_dataset(scans(tmp_path / "y", 16))).findings}
    assert "used_range" not in found and "deep" in found


def test_it_travels_and_old_files_open() -> None:
    made = Preprocess(size=64, white=4095)
    assert Preprocess.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert "4095" in made.describe() and made.with_size(32).white == 4095
    assert "white" not in Preprocess().to_dict()  # and so the digests of what is stored are as they were
    for wrong in (0, -1, 65536, True, 1.5, "4095"):
        with pytest.raises(SpecError, match="white"):
            Preprocess(white=wrong)  # type: ignore[arg-type]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_training_says_it_and_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(scans(tmp_path / "x", 12, each=4))
    common = ["train", data, "--model", "lite0", "--weights", "none", "--resolution", "32"]
    assert run(*common, "--dry-run") == 0
    assert "--set white=4095" in capsys.readouterr().out
    assert run(*common, "--dry-run", "--set", "white=4095") == 0
    assert "grey levels of" not in capsys.readouterr().out
    common += ["--epochs", "1", "--workers", "0"]
    common += ["--set", "transfer.head_epochs=0", "--set", "schedule.warmup_epochs=0", "--set", "batch.size=4"]
    assert run(*common, "--set", "white=4095", "--run", str(tmp_path / "r")) == 0
    model = effnet.load(tmp_path / "r" / "last.safetensors")
    assert model.preprocess.white == 4095
    capsys.readouterr()
    for file in ("last.safetensors", "best.safetensors"):
        assert run("evaluate", str(tmp_path / "r" / file), data) == 0
    assert "grey levels" not in capsys.readouterr().err
    name = str(tmp_path / "x" / "a" / "0.png")
    expected = np.round(np.asarray(Image.open(name)) * (255 / 4095)).astype(np.uint8)
    eight = tmp_path / "eight.png"
    Image.fromarray(expected).save(eight)
    deep, plain = (model.pixels(path).astype(int) for path in (name, str(eight)))
    assert np.abs(deep - plain).max() <= 1
