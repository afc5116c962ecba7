"""What is wrong with a person's images, found before training does: a list of findings over a `Dataset`.

Errors make training wrong or impossible (unreadable images, the same image in training and validation, or under two
labels); warnings make it worse; notes are worth knowing.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from effnet.data.decode import decode
from effnet.data.deep import Range, range_remarks, used_range
from effnet.data.sampling import IMBALANCED
from effnet.data.source import Dataset, Remark, Source, counted
from effnet.errors import EffnetError, ImageError

Severity = Literal["error", "warning", "note"]

NEAR = 3
"""Bits of 64 in which the fingerprints of near duplicates may differ."""

_ALIKE = 0.96
"""Correlation of two images' 24 x 24 grey pixels from which they can be the same. Of 120 photographs every one that
was made half as large and compressed to quality 50 passes; so do 95 of 100 cut by 2 % or made brighter by 40 %."""

_LOOK = 24
"""Side of the small grey image that near duplicates are compared in."""

_FLAT = 4
"""Set bits (or unset) below which a fingerprint says nothing: a plain surface looks like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What is known of one image.

    Attributes:
        part, label, name: where it is and what it is called.
        problem: why it cannot be read; the rest is then empty.
        digest: SHA-256 of the file.
        fingerprint: 64 bits of which neighbouring grey pixels are the brighter (difference hash, 9 x 8 pixels), which
            survive scaling and compression; -1 where it says nothing.
        look: its 24 x 24 grey pixels.
        range: how much of their bits its values use, where it has 16.
        width, height: px, upright.
        traits: what is unusual about the file: `turned`, `grey`, `cmyk`, `alpha`, `deep`, `moving`, `misnamed`.
    """

    part: str
    label: int
    name: str
    problem: str | None = None
    digest: str = ""
    fingerprint: int = -1
    look: bytes = b""
    range: Range | None = None
    width: int = 0
    height: int = 0
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know or to mend.

    Attributes:
        kind: a short name for scripts.
        what: in words, with numbers.
        fix: what to do.
        groups: the images concerned, those that belong together in one group.
    """

    severity: Severity
    kind: str
    what: str
    fix: str
    groups: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What the doctor found.

    Attributes:
        findings: errors first.
        counts: images of each class, by part.
        sizes: shorter side of each readable image in pixels.
        removable: names of images without which there would be no errors.
    """

    classes: tuple[str, ...]
    findings: tuple[Finding, ...]
    counts: dict[str, list[int]]
    sizes: tuple[int, ...]
    removable: tuple[str, ...] = field(default=())

    @property
    def worst(self) -> Severity | None:
        """The worst severity found."""
        return self.findings[0].severity if self.findings else None


def check(
    dataset: Dataset,
    *,
    resolution: int = 224,
    threads: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Checkup:
    """Look at every image of every part.

    Args:
        resolution: the side in pixels that a network will want.
        threads: that read images.
        progress: called with images looked at and in all.
    """
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    present = {name: source for name, source in parts.items() if source is not None}
    total = sum(map(len, present.values()))
    images: list[Inspected] = []
    with ThreadPoolExecutor(threads) as pool:
        for image in pool.map(lambda place: inspect(*place), _places(present)):
            images.append(image)
            progress(len(images), total)
    return diagnose(images, tuple(dataset.train.classes), resolution, dataset.remarks)


def inspect(part: str, source: Source, index: int) -> Inspected:
    """Return what is known of one image."""
    name, label = source.name(index), int(source.labels[index])
    try:
        content = source.read(index)
        data = content.read_bytes() if isinstance(content, Path) else content
        image = decode(data)
        spread = used_range(data)
        if spread is not None and spread.grey:
            image = decode(data, white=max(1, spread.brightest))  # few levels would look alike
    except (EffnetError, OSError) as error:
        what = error.what if isinstance(error, ImageError) else str(error)
        return Inspected(part=part, label=label, name=name, problem=what)
    return Inspected(
        part=part,
        label=label,
        name=name,
        digest=hashlib.sha256(data).hexdigest(),
        fingerprint=fingerprint(image),
        look=np.asarray(image.convert("L").resize((_LOOK, _LOOK), Image.Resampling.BOX)).tobytes(),
        range=spread,
        width=image.width,
        height=image.height,
        traits=frozenset(_traits(data, name)),
    )


def fingerprint(image: Image.Image) -> int:
    """Return the difference hash of an RGB image, or -1 where it is too plain to be told from others."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (grey[:, 1:] > grey[:, :-1]).ravel()
    if not _FLAT <= bits.sum() <= 64 - _FLAT:
        return -1
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def diagnose(
    images: Sequence[Inspected], classes: tuple[str, ...], resolution: int, remarks: Sequence[Remark] = ()
) -> Checkup:
    """Return what inspected images amount to, and what was remarked when the data was opened."""
    findings = [_finding(remark) for remark in remarks]
    removable: list[str] = []
    broken = [image for image in images if image.problem]
    if broken:
        shown = tuple((f"{image.part}/{image.name}: {image.problem}",) for image in broken)
        what = f"{counted(len(broken), 'image')} cannot be read"
        findings.append(
            Finding(severity="error", kind="unreadable", what=what, fix="replace or remove them", groups=shown)
        )
        removable += [image.name for image in broken]
    sound = [image for image in images if not image.problem]
    exact = _exact(sound)
    near = _near(sound, {image.name for group in exact for image in group[1:]})
    for groups, same in ((exact, "the same image"), (near, "nearly the same image")):
        findings += _duplicates(groups, same, removable)
    counts = {
        part: [sum(1 for i in images if i.part == part and i.label == label) for label in range(len(classes))]
        for part in dict.fromkeys(image.part for image in images)
    }
    findings += _balance(counts, classes)
    findings += _sizes(sound, resolution)
    findings += _oddities(sound)
    ranges = [_finding(found) for found in range_remarks([i.range for i in sound if i.range is not None])]
    if ranges:
        findings = [finding for finding in findings if finding.kind != "deep"]  # which says that nothing is to be done
    findings += ranges
    order = {"error": 0, "warning": 1, "note": 2}
    findings.sort(key=lambda finding: order[finding.severity])
    return Checkup(
        classes=classes,
        findings=tuple(findings),
        counts=counts,
        sizes=tuple(min(image.width, image.height) for image in sound),
        removable=tuple(dict.fromkeys(removable)),
    )


def _finding(remark: Remark) -> Finding:
    groups = tuple((name,) for name in remark.names)
    return Finding(severity=remark.severity, kind=remark.kind, what=remark.what, fix=remark.fix, groups=groups)


def _places(parts: dict[str, Source]) -> Iterator[tuple[str, Source, int]]:
    return ((name, source, index) for name, source in parts.items() for index in range(len(source)))


def _traits(data: bytes, name: str) -> Iterator[str]:
    with Image.open(io.BytesIO(data)) as image:
        if image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9):
            yield "turned"
        if image.mode in ("1", "L", "LA"):
            yield "grey"
        if image.mode == "CMYK":
            yield "cmyk"
        if image.has_transparency_data:
            yield "alpha"
        if image.mode.startswith("I") or image.mode == "F":
            yield "deep"
        if getattr(image, "is_animated", False):
            yield "moving"
        suffix = Path(name).suffix.lower()
        expected = Image.registered_extensions().get(suffix)
        if expected is not None and image.format not in (expected, "MPO"):
            yield "misnamed"


def _exact(images: Sequence[Inspected]) -> list[list[Inspected]]:
    groups: dict[str, list[Inspected]] = defaultdict(list)
    for image in images:
        groups[image.digest].append(image)
    return [group for group in groups.values() if len(group) > 1]


def _near(images: Sequence[Inspected], known: set[str]) -> list[list[Inspected]]:
    """Group images whose fingerprints differ in at most NEAR bits, joined through common neighbours.

    Two numbers of 64 bits that differ in at most three agree in at least one of four pieces of 16 bits, so only images
    that share a piece are compared. What 64 bits find the same, 24 x 24 pixels must too, the more closely the more
    alike the images of the set are altogether: X-rays differ little.
    """
    told = [image for image in images if image.fingerprint >= 0 and image.name not in known]
    looks = _standardised(told)
    alike = _threshold(looks)
    leader = list(range(len(told)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for shift in range(0, 64, 16):
        buckets: dict[int, list[int]] = defaultdict(list)
        for place, image in enumerate(told):
            buckets[image.fingerprint >> shift & 0xFFFF].append(place)
        for members in buckets.values():
            prints = np.array([told[place].fingerprint for place in members], np.uint64)
            for first in range(len(members) - 1):
                differing = np.bitwise_count(prints[first + 1 :] ^ prints[first])
                for other in np.flatnonzero(differing <= NEAR).tolist():
                    second = members[first + 1 + other]
                    if float(looks[second] @ looks[members[first]]) >= alike:
                        leader[find(second)] = find(members[first])
    groups: dict[int, list[Inspected]] = defaultdict(list)
    for place, image in enumerate(told):
        groups[find(place)].append(image)
    return [group for group in groups.values() if len(group) > 1]


def _standardised(images: Sequence[Inspected]) -> NDArray[np.float32]:
    """Return (N, 576): each image's small grey pixels with mean 0 and length 1, so that products are correlations."""
    looks = np.zeros((len(images), _LOOK * _LOOK), np.float32)
    for row, image in zip(looks, images, strict=True):
        row[:] = np.frombuffer(image.look, np.uint8)
    looks -= looks.mean(axis=1, keepdims=True)
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-6)
    return looks


def _threshold(looks: NDArray[np.float32]) -> float:
    """Return the correlation from which two of the images can be the same one: closer than four times any two are."""
    if len(looks) < 8:
        return _ALIKE
    pairs = np.random.default_rng(0).integers(0, len(looks), (400, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    usual = float(np.median((looks[pairs[:, 0]] * looks[pairs[:, 1]]).sum(axis=1)))
    return max(_ALIKE, 1 - (1 - usual) / 4)


def _duplicates(groups: Iterable[list[Inspected]], same: str, removable: list[str]) -> Iterator[Finding]:
    sure = same == "the same image"
    contradicting, leaking, repeated = [], [], []
    for group in groups:
        if len({image.label for image in group}) > 1:
            contradicting.append(group)
        elif len({image.part for image in group}) > 1:
            leaking.append(group)
        else:
            repeated.append(group)
    if sure:
        removable += [image.name for group in contradicting for image in group]
        removable += [image.name for group in leaking for image in group if image.part == "train"]
    kinds: tuple[tuple[list[list[Inspected]], Severity, str, str, str], ...] = (
        (contradicting, "error" if sure else "warning", "contradicting", "under two labels", "keep the right one"),
        (leaking, "error" if sure else "warning", "leaking", "in two parts", "remove it from train"),
        (repeated, "warning" if sure else "note", "repeated", "more than once", "keep one of each"),
    )
    for members, severity, kind, where, fix in kinds:
        if members:
            shown = tuple(tuple(f"{image.part}/{image.name}" for image in group) for group in members)
            times = f"{counted(len(members), 'time')} {same} {where}"
            doubt = "" if sure else f", if looking at them confirms it: {NEAR} of 64 bits of a fingerprint may differ"
            name = kind if sure else f"near_{kind}"
            yield Finding(severity=severity, kind=name, what=times, fix=fix + doubt, groups=shown)


def _balance(counts: dict[str, list[int]], classes: tuple[str, ...]) -> Iterator[Finding]:
    train = counts.get("train", [])
    for part, numbers in counts.items():
        empty = [name for name, number in zip(classes, numbers, strict=True) if not number]
        if empty:
            what = f"{part} has no images of {', '.join(empty[:5])}"
            yield Finding(severity="warning", kind="empty_class", what=what, fix="give some, or remove the class")
    filled = [number for number in train if number]
    if filled and max(filled) >= IMBALANCED * min(filled):
        what = f"the largest class of train has {max(filled)} images, the smallest {min(filled)}"
        fix = "collect more of the small ones; train draws every class equally often (batch.sampling=balanced)"
        yield Finding(severity="warning", kind="imbalance", what=what, fix=fix)
    few = [name for name, number in zip(classes, train, strict=False) if 0 < number < 20]
    if few:
        what = f"{len(few)} classes have fewer than 20 images to learn from: {', '.join(few[:5])}"
        yield Finding(severity="warning", kind="few_images", what=what, fix="collect more; start from ImageNet weights")


def _sizes(images: Sequence[Inspected], resolution: int) -> Iterator[Finding]:
    small = [image for image in images if min(image.width, image.height) < resolution]
    if images and len(small) > len(images) / 10:
        share = 100 * len(small) / len(images)
        what = f"{share:.0f} % of the images are smaller than the {resolution} px that the network wants"
        fix = "a smaller --resolution, or a smaller network, loses little on them and is faster"
        yield Finding(severity="note", kind="small_images", what=what, fix=fix)
    long = [image for image in images if max(image.width, image.height) > 4 * min(image.width, image.height)]
    if long:
        shown = tuple((f"{image.part}/{image.name} ({image.width} x {image.height})",) for image in long)
        what = f"{counted(len(long), 'image')} over four times as long as wide, of which a square crop shows little"
        yield Finding(severity="warning", kind="long_images", what=what, fix="cut them into squares", groups=shown)


_TRAITS = {
    "turned": ("turned upright by EXIF data here; other programs may not turn them", "save them upright"),
    "grey": ("no colour; used as grey RGB", "nothing, if those to predict are alike"),
    "cmyk": ("CMYK; colours are converted without a profile", "save them as RGB"),
    "alpha": ("transparent pixels, which become white", "save them without, over what they will stand on"),
    "deep": ("more than 8 bits, which are scaled down", "nothing, or save them as 8 bits yourself"),
    "moving": ("several pictures, of which the first is used", "save the picture that is meant"),
    "misnamed": ("another format than the name says; read by the content", "rename them"),
}


def _oddities(images: Sequence[Inspected]) -> Iterator[Finding]:
    found = Counter(trait for image in images for trait in image.traits)
    for trait, (what, fix) in _TRAITS.items():
        number = found[trait]
        if number and not (trait == "grey" and number == len(images)):
            shown = tuple((f"{image.part}/{image.name}",) for image in images if trait in image.traits)
            yield Finding(
                severity="note", kind=trait, what=f"{counted(number, 'image')}: {what}", fix=fix, groups=shown
            )
