"""From names and files to networks side by side.

>>> from effnet.comparison import compare
>>> [subject.name for subject in compare("b0", "resnet50", "swin-t").subjects]
['efficientnet_b0', 'resnet50', 'swin_t']
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from effnet.comparison import others
from effnet.comparison.subject import Measure, Subject, of_other, of_spec, of_weights
from effnet.cost import cost
from effnet.errors import InputError, SpecError, UnknownNameError, nearest
from effnet.families import catalog
from effnet.search.pareto import front
from effnet.spec import NetworkSpec
from effnet.weights.header import read_header
from effnet.weights.published import default, find

Axis: TypeAlias = Literal["params", "macs", "latency"]

Reader: TypeAlias = Callable[[Path], Subject | None]
"""Makes a subject of a file of a kind that this room does not know; None: it is none of that kind."""

AXES: tuple[Axis, ...] = ("params", "macs", "latency")

_SPEC_BYTES = 1 << 20
_WEIGHTS = (".safetensors", ".pth", ".pt", ".h5", ".ckpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Networks side by side, in the order in which they were asked for."""

    subjects: tuple[Subject, ...]

    def front(self, axis: Axis) -> tuple[str, ...]:
        """Return the names on the Pareto front of accuracy against a cost, cheapest first.

        Only networks whose accuracy is known take part, and only those without extra training data: more images are
        not a property of a network.
        """
        able = [s for s in self.subjects if cost_on(s, axis) is not None and s.top1 is not None and not s.extra_data]
        points = [(cost_on(s, axis) or 0.0, s.top1 or 0.0) for s in able]
        return tuple(able[place].name for place in front(points))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        axes = [axis for axis in AXES if any(cost_on(s, axis) is not None for s in self.subjects)]
        fronts = {axis: list(self.front(axis)) for axis in axes}
        return {"networks": [subject.to_dict() for subject in self.subjects], "pareto": fronts}


def compare(
    *networks: str | Path | NetworkSpec,
    resolution: int | None = None,
    measure: Measure | None = None,
    reader: Reader = lambda path: None,
) -> Comparison:
    """Return networks side by side; without any, everything that was published of EfficientNets and ResNets.

    Args:
        networks: published names (`b0`), patterns (`b?`, `resnet*`, `swin*`), tags of released weights
            (`tf_efficientnet_b0.ns_jft_in1k`), spec files, trained model files, or specs.
        resolution: input side in pixels for all; accuracies published at another size are then left out.
        reader: reads files of further kinds; `effnet.compare` reads deployment bundles.
        measure: measures them here, such as `effnet.inference.comparing.measurer()`; None: nothing is measured.

    Raises:
        UnknownNameError: nothing has that name; the nearest are suggested.
        EffnetError: a file cannot be read.
    """
    wanted = networks or catalog.names()
    subjects = list(dict.fromkeys(subject for entry in wanted for subject in _subjects(entry, reader)))
    if resolution is not None:
        subjects = [_resized(subject, resolution) for subject in subjects]
    if measure is not None:
        pairs = zip(subjects, measure(subjects), strict=True)
        subjects = [dataclasses.replace(subject, measured=measured) for subject, measured in pairs]
    return Comparison(subjects=tuple(subjects))


def cost_on(subject: Subject, axis: Axis) -> float | None:
    """Return what a subject costs on an axis: a count, or milliseconds."""
    if axis == "latency":
        return None if subject.measured is None else subject.measured.latency_ms
    return subject.params if axis == "params" else subject.macs


def _subjects(entry: str | Path | NetworkSpec, reader: Reader) -> Iterator[Subject]:
    if isinstance(entry, NetworkSpec):
        yield of_spec(entry)
        return
    text = str(entry)
    path = Path(text)
    if _is_file(path) or path.suffix.lower() in (".json", *_WEIGHTS) or isinstance(entry, Path):
        yield reader(path) or _of_file(path)
    elif any(letter in text for letter in "*?["):
        yield from _matching(text)
    else:
        yield _named(text)


def _named(text: str) -> Subject:
    try:
        return of_weights(find(text))
    except UnknownNameError as error:
        if others.has(text):
            return of_other(others.find(text))
        near = nearest(text, [*catalog.names(), *(row.name for row in others.others())])
        fix = f"did you mean {', '.join(near)}?" if near else error.fix
        raise UnknownNameError(f"unknown network {text!r}", fix=fix) from None


def _matching(pattern: str) -> list[Subject]:
    wanted = pattern.lower().replace("-", "_")
    found: list[Subject] = []
    for name in catalog.names():
        short = name.removeprefix("efficientnet").lstrip("_")
        if any(fnmatch.fnmatchcase(spelling, wanted) for spelling in (name, short)):
            found.append(of_weights(default(name)))
    found += [of_other(row) for row in others.others() if fnmatch.fnmatchcase(row.name, wanted)]
    if not found:
        raise UnknownNameError(f"nothing is named like {pattern!r}", fix="see the names that `effnet models` prints")
    return found


def _of_file(path: Path) -> Subject:
    if path.suffix.lower() == ".json":
        return of_spec(_spec(path), path=path)
    header = read_header(path)
    trained = header.provenance.get("recipe")
    subject = of_spec(header.spec.replace(resolution=header.preprocess.size), kind="model", path=path)
    return dataclasses.replace(
        subject,
        name=str(path),
        label=f"{subject.label} ({path.stem})",
        series=f"{subject.series}, trained here",
        file_bytes=header.bytes,
        file_exact=True,
        top1=header.metrics.get("top1"),
        top5=header.metrics.get("top5"),
        recipe=None if trained is None else str(trained),
        source="the file; on the images that it was judged by" if "top1" in header.metrics else None,
    )


def _spec(path: Path) -> NetworkSpec:
    fix = "name a JSON file that effnet wrote"
    try:
        with path.open("rb") as file:
            data = file.read(_SPEC_BYTES + 1)
        if len(data) > _SPEC_BYTES:
            raise InputError("is larger than 1 MiB", where=str(path), fix=fix)
        return NetworkSpec.from_json(data.decode("utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), fix="check the path") from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", where=str(path), fix=fix) from None
    except SpecError as error:
        raise SpecError(
            error.what, where=f"{path}: {error.where}" if error.where else str(path), fix=error.fix
        ) from None


def _resized(subject: Subject, resolution: int) -> Subject:
    if subject.spec is None or subject.resolution == resolution:
        return subject
    spec = subject.spec.replace(resolution=resolution)
    counted = cost(spec)
    return dataclasses.replace(
        subject,
        spec=spec,
        resolution=resolution,
        macs=counted.macs,
        activations=counted.activations,
        top1=None,
        top5=None,
        source=None,
        note=f"its accuracy was published at {subject.resolution} px" if subject.top1 is not None else subject.note,
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte, is no file
        return False
