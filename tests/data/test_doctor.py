from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from effnet.data.doctor import check, diagnose, fingerprint, inspect
from effnet.data.source import Dataset


def scene(seed: int, side: int = 160) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


class Memory:
    def __init__(self, files: list[tuple[str, int, bytes]], classes: tuple[str, ...] = ("a", "b")) -> None:
        self.classes = classes
        self.labels = np.array([label for _, label, _ in files], np.int64)
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: int) -> bytes:
        return self._files[index][2]

    def name(self, index: int) -> str:
        return self._files[index][0]


def clean(part: str, start: int, count: int = 40) -> list[tuple[str, int, bytes]]:
    return [(f"{part}{n}.png", n % 2, encoded(scene(start + n, 240))) for n in range(count)]


CLEAN_TRAIN, CLEAN_VAL = clean("t", 0), clean("v", 1000, 10)


def kinds(train: list, val: list) -> dict[str, str]:
    checkup = check(Dataset("d", Memory(train), Memory(val)), resolution=224)
    return {finding.kind: finding.severity for finding in checkup.findings}


def test_nothing_is_found_in_clean_data():
    assert kinds(CLEAN_TRAIN, CLEAN_VAL) == {}


@settings(deadline=None, max_examples=15)
@given(st.sets(st.sampled_from(["unreadable", "leaking", "contradicting", "repeated", "near_repeated", "grey"])))
def test_what_is_planted_is_found_and_nothing_else(planted):
    train, val = list(CLEAN_TRAIN), list(CLEAN_VAL)
    if "unreadable" in planted:
        train.append(("broken.png", 0, encoded(scene(5))[:300]))
    if "leaking" in planted:
        val.append(("leak.png", 0, train[0][2]))
    if "contradicting" in planted:
        train.append(("twice.png", 0, train[1][2]))
    if "repeated" in planted:
        train.append(("again.png", 0, train[2][2]))
    if "near_repeated" in planted:
        train.append(("smaller.jpg", 0, encoded(scene(4, 240).resize((230, 230)), "JPEG", quality=80)))
    if "grey" in planted:
        train.append(("grey.png", 0, encoded(scene(77, 240).convert("L"))))
    found = kinds(train, val)
    assert set(found) == planted
    for kind in ("unreadable", "leaking", "contradicting"):
        assert found.get(kind, "error") == "error"


def test_without_what_is_removable_no_error_is_left():
    train = [*CLEAN_TRAIN, ("broken.png", 0, b"x"), ("twice.png", 0, CLEAN_TRAIN[1][2])]
    val = [*CLEAN_VAL, ("leak.png", 0, CLEAN_TRAIN[0][2])]
    first = check(Dataset("d", Memory(train), Memory(val)))
    assert first.worst == "error"
    gone = set(first.removable)
    kept = [[file for file in files if file[0] not in gone] for files in (train, val)]
    assert check(Dataset("d", *map(Memory, kept))).worst != "error"


def test_fingerprints_survive_scaling_and_compression_and_tell_scenes_apart():
    prints = [fingerprint(scene(seed)) for seed in range(60)]
    for seed, own in enumerate(prints):
        for other in (scene(seed, 400), scene(seed).resize((120, 120))):
            assert (fingerprint(other) ^ own).bit_count() <= 6
    distances = [(a ^ b).bit_count() for n, a in enumerate(prints) for b in prints[:n]]
    assert min(distances) > 3
    assert fingerprint(Image.new("RGB", (50, 50), "white")) == -1  # plain surfaces are alike without being the same


def test_classes_out_of_balance_and_too_small_are_noticed():
    train = [(f"{n}.png", 0, encoded(scene(n, 64))) for n in range(60)]
    train += [(f"b{n}.png", 1, encoded(scene(100 + n, 64))) for n in range(6)]
    found = kinds(train, [("v.png", 0, encoded(scene(900, 64)))])
    assert found == {"imbalance": "warning", "few_images": "warning", "empty_class": "warning", "small_images": "note"}


def test_unusual_files_are_named():
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        ("turned.jpg", encoded(scene(1), "JPEG", exif=exif), "turned"),
        ("cmyk.jpg", encoded(scene(2).convert("CMYK"), "JPEG"), "cmyk"),
        ("alpha.png", encoded(scene(3).convert("RGBA").rotate(10)), "alpha"),
        ("deep.png", encoded(Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256))), "deep"),
        ("moving.gif", encoded(scene(4), "GIF", save_all=True, append_images=[scene(5)]), "moving"),
        ("wrong.png", encoded(scene(6), "JPEG"), "misnamed"),
    ]
    source = Memory([(name, 0, data) for name, data, _ in files])
    for index, (_, _, trait) in enumerate(files):
        assert trait in inspect("train", source, index).traits
    long = Memory([("long.png", 0, encoded(Image.new("RGB", (900, 100), "red")))])
    found = diagnose([inspect("train", long, 0)], ("a", "b"), 64)
    assert "long_images" in {finding.kind for finding in found.findings}


@pytest.mark.parametrize("shift", [0, 16, 32, 48])
def test_near_duplicates_are_found_wherever_the_bits_differ(shift):
    from dataclasses import replace

    image = inspect("train", Memory([("a.png", 0, encoded(scene(1)))]), 0)
    other = replace(image, name="b.png", digest="other", fingerprint=image.fingerprint ^ (0b111 << shift))
    far = replace(image, name="c.png", digest="far", fingerprint=image.fingerprint ^ 0x8001800180018001)
    found = diagnose([image, other, far], ("a",), 64)
    (near,) = [finding for finding in found.findings if finding.kind == "near_repeated"]
    assert near.groups == (("train/a.png", "train/b.png"),)


def xray(seed: int) -> Image.Image:
    """Lungs of one shape: what differs between patients is small."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:240, 0:240] / 240
    left = np.exp(-((x - 0.3 - 0.02 * rng.normal()) ** 2 / 0.02 + (y - 0.5) ** 2 / 0.08))
    right = np.exp(-((x - 0.7 - 0.02 * rng.normal()) ** 2 / 0.02 + (y - 0.5 - 0.02 * rng.normal()) ** 2 / 0.08))
    detail = Image.fromarray(rng.normal(size=(20, 20)).astype(np.float32)).resize((240, 240))
    values = 0.3 + 0.6 * left + 0.6 * right + 0.05 * np.asarray(detail)
    return Image.fromarray((4095 * values / values.max()).clip(0, 4095).astype(np.uint16))


def test_pictures_of_one_kind_are_not_taken_for_one_picture():
    train = [(f"{n}.png", n % 2, encoded(xray(n))) for n in range(60)]
    found = check(Dataset("d", Memory(train), None), resolution=224).findings
    assert not {finding.kind for finding in found} & {"near_contradicting", "near_repeated"}
    again = np.asarray(xray(7)).astype(float)
    train.append(("again.png", 0, encoded(Image.fromarray((again * 0.97).astype(np.uint16)).resize((200, 200)))))
    found = check(Dataset("d", Memory(train), None), resolution=224).findings
    (near,) = [finding for finding in found if finding.kind == "near_contradicting"]
    assert near.what.startswith("1 time nearly") and near.groups == (("train/7.png", "train/again.png"),)
