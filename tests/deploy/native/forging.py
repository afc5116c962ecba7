"""Plans that nobody's export wrote, and the engine's loops under AddressSanitizer and UBSan.

    python -m tests.deploy.native.forging --plans 20000 --seed 1

Half are good plans with values changed, half are grown step by step with shapes that mostly fit. Those that `Plan`
refuses never reach C++; the others run there, half of them with unreadable memory around each map and each step's
weights, so that leaving a map by one float is a fault, wherever it leads. Exits with 1 at a fault.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import effnet
from effnet.deploy.native import compiling
from effnet.deploy.native.layout import Layout, Vectors, layout
from effnet.deploy.native.library import _map, _step
from effnet.deploy.native.packing import Packed, pack
from effnet.deploy.native.plan import ACTIVATIONS, KINDS, Plan, plan
from effnet.errors import WeightsError
from effnet.spec import BlockSpec, HeadSpec, NetworkSpec, StageSpec, StemSpec

WIDTHS = {
    "x86-64": Vectors(lanes=4, registers=16),
    "x86-64-v3": Vectors(lanes=8, registers=16),
    "x86-64-v4": Vectors(lanes=16, registers=32),
}
"""What can be compiled for, by g++'s name of the processor (`vectors.h`)."""

_MAX_MACS, _MAX_FLOATS = 8_000_000, 200_000
"""Of a plan that is run: larger ones only take longer."""

_GAP = 64
"""Floats that may not be touched, around every map."""

_ODD = (-1, 0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50, 255, 65535, 65536, 1 << 24, 1 << 31, 1 << 40)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of forged plans: refused by `Plan`, too large to run here, run; and what the sanitizers said."""

    refused: int
    large: int
    ran: int
    fault: str | None


def small_networks() -> list[NetworkSpec]:
    """Return networks whose plans have every kind of step, joined steps and both of Winograd's sides."""

    def made(block: BlockSpec, stem: StemSpec, channels: int, in_channels: int, size: int) -> NetworkSpec:
        stages = (
            StageSpec(block=block, channels=channels, repeats=2),
            StageSpec(block=block, channels=19, repeats=1, stride=2),
        )
        return NetworkSpec(
            name="small",
            stem=stem,
            stages=stages,
            head=HeadSpec(channels=21),
            classes=5,
            in_channels=in_channels,
            resolution=size,
        )

    stem, flat = StemSpec(channels=8), StemSpec(channels=18, stride=1)
    return [
        made(BlockSpec(kind="mbconv", kernel=5, expand_ratio=4.0, se_ratio=0.25), stem, 12, 3, 20),
        made(BlockSpec(kind="mbconv", kernel=3, expand_ratio=6.0, se_ratio=0.0), flat, 8, 17, 11),
        made(BlockSpec(kind="fused_mbconv", kernel=3, expand_ratio=2.0, se_ratio=0.25), stem, 17, 1, 19),
        made(BlockSpec(kind="fused_mbconv", kernel=3, expand_ratio=1.0, se_ratio=0.25), stem, 8, 3, 16),
        made(
            BlockSpec(kind="fused_mbconv", kernel=3, expand_ratio=1.0, se_ratio=0.0), StemSpec(channels=18), 18, 3, 41
        ),
        made(BlockSpec(kind="basic", se_ratio=0.0), StemSpec(channels=16, kernel=7, pool=True), 16, 2, 23),
        made(BlockSpec(kind="bottleneck", expand_ratio=0.5, se_ratio=0.0), flat, 20, 3, 9),
        made(BlockSpec(kind="mbconv", kernel=3, expand_ratio=6.0), StemSpec(channels=4, stride=1), 4, 3, 70),
    ]


def forged(draw: random.Random) -> str:
    """Return the text of a plan that may break any rule."""
    return json.dumps(_mutated(draw) if draw.random() < 0.5 else _grown(draw))


def _mutated(draw: random.Random) -> dict[str, Any]:
    spec = draw.choice(small_networks())
    document: dict[str, Any] = json.loads(plan(spec, max(1, spec.resolution + draw.choice((-3, 0, 0, 1)))).to_json())
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3))):
        maps, steps = document["maps"], document["steps"]
        match draw.randrange(8):
            case 0:
                draw.choice(maps)[draw.choice(("channels", "height", "width"))] = draw.choice(_ODD)
            case 1:
                number = draw.randrange(len(steps))
                steps[number]["kind"] = draw.choice(KINDS)
            case 2:
                name = draw.choice(("kernel", "stride", "before", "squeezed"))
                draw.choice(steps)[name] = draw.choice(_ODD)
            case 3:
                name = draw.choice(("input", "output", "shortcut", "sums", "gate"))
                draw.choice(steps)[name] = draw.choice([None, 0, *range(len(maps) + 1)])
            case 4:
                draw.choice(steps)["layer"] = draw.choice(steps)["layer"] + draw.choice(("", "", ".fc1"))
            case 5:
                del steps[draw.randrange(len(steps))]
            case 6:
                step = draw.choice(steps)
                step["activation"], step["shortcut_last"] = draw.choice(ACTIVATIONS), draw.random() < 0.5
            case 7:
                channels, widened = draw.randint(1, 70), draw.choice(maps)["channels"]
                for other in maps:
                    if other["channels"] == widened:
                        other["channels"] = channels
        if not document["steps"]:
            break
    return document


def _grown(draw: random.Random) -> dict[str, Any]:
    side = draw.choice((1, 2, 5, 8, 14, 17, 30))
    maps = [{"channels": draw.choice((1, 3, 4, 16, 17, 33)), "height": side, "width": draw.choice((side, side, 1, 9))}]
    steps: list[dict[str, Any]] = []
    here, gate, honest = 0, None, draw.random() < 0.8
    for number in range(draw.randint(1, 7)):
        kinds = ("convolution",) if here == 0 and honest else KINDS
        kind, source = draw.choice(kinds), maps[here]
        stride = draw.choice((1, 1, 1, 2, 3, 7)) if kind in ("convolution", "depthwise", "max_pool") else 1
        kernel = draw.choice((1, 1, 2, 3, 3, 3, 4, 5, 7, 9, 31, *(() if honest else (50,))))
        step: dict[str, Any] = {
            "kind": kind, "input": here, "output": 0, "layer": f"l{number}", "activation": draw.choice(ACTIVATIONS),
            "kernel": kernel, "stride": stride, "before": draw.randint(0, (kernel - 1) // 2 if honest else kernel),
            "shortcut": None, "shortcut_last": draw.random() < 0.5, "sums": None, "squeezed": 0, "gate": None,
        }  # fmt: skip
        target = _target(draw, kind, source, stride)
        alike = [index for index, other in enumerate(maps) if other == target and (index or not honest)]
        if kind == "convolution" and alike and draw.random() < 0.5:
            step["shortcut"] = draw.choice(alike)
        if kind == "convolution" and gate is not None and maps[gate]["channels"] == source["channels"]:
            step["gate"], gate = gate, None
        sums = {"channels": target["channels"], "height": 1, "width": -(-target["height"] // 8)}
        if kind == "depthwise" and draw.random() < 0.5:
            maps.append(sums)
            step["sums"] = len(maps) - 1
        if kind == "squeeze":
            step["sums"] = next((s["sums"] for s in reversed(steps) if s["output"] == here), None)
            step["squeezed"] = draw.choice((1, 3, 4, 17))
        maps.append(target)
        step["output"] = len(maps) - 1
        steps.append(step)
        if kind == "squeeze":
            gate = step["output"]
        else:
            here = step["output"] if draw.random() < 0.9 else draw.randrange(len(maps))
    for step in ({"kind": "mean", "layer": ""}, {"kind": "convolution", "layer": "end"}):
        channels = maps[here]["channels"] if step["kind"] == "mean" else draw.choice((1, 3, 16, 17))
        maps.append({"channels": channels, "height": 1, "width": 1})
        plain = {"activation": "none", "kernel": 1, "stride": 1, "before": 0, "shortcut_last": False, "squeezed": 0}
        none = {"shortcut": None, "sums": None, "gate": None}
        steps.append({**step, **plain, **none, "input": here, "output": len(maps) - 1})
        here = len(maps) - 1
    return {"version": 1, "maps": maps, "steps": steps}


def _target(draw: random.Random, kind: str, source: dict[str, int], stride: int) -> dict[str, int]:
    height, width = (-(-source[side] // stride) for side in ("height", "width"))
    if kind in ("squeeze", "mean"):
        return {"channels": source["channels"], "height": 1, "width": 1}
    if kind == "sum_rows":
        return {"channels": source["channels"], "height": 1, "width": -(-source["height"] // 8)}
    channels = draw.choice((1, 3, 8, 16, 17, 40)) if kind == "convolution" else source["channels"]
    return {"channels": channels, "height": height, "width": width}


def sanitized(folder: Path, processor: str, *, optimise: str = "-O1") -> Path:
    """Compile the engine with the sanitizers; `processor` is g++'s `-march`."""
    made = folder / f"sanitized-{processor}"
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1", "-pthread", f"-march={processor}")
    source = Path(__file__).with_name("sanitized.cpp")
    line = ["g++", "-std=c++17", optimise, *checks, f"-I{compiling._SOURCE}", str(source), "-o", str(made)]
    subprocess.run(line, check=True, capture_output=True, text=True, timeout=600)
    return made


def run(program: Path, vectors: Vectors, numbers: Iterable[int], seed: int) -> Outcome:
    """Forge a plan of each number and run those that `Plan` accepts; stops at the first fault."""
    cases, refused, large, ran = bytearray(), 0, 0, 0
    for number in numbers:
        draw = random.Random(f"{seed} {number}")
        try:
            steps = Plan.from_json(forged(draw))
        except WeightsError:
            refused += 1
            continue
        if sum(map(steps.macs, steps.steps)) > _MAX_MACS or any(np.prod(m.shape) > _MAX_FLOATS for m in steps.maps):
            large += 1
            continue
        cases += _case(number, steps, vectors, draw)
        ran += 1
    # Freed memory is kept back for a while, which finds uses after it; the usual 256 MB for each would not fit here.
    environment = {"ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16"}
    done = subprocess.run(
        [program], input=bytes(cases), capture_output=True, env=environment, check=False, timeout=3600
    )
    if done.returncode == 0:
        return Outcome(refused, large, ran, None)
    last = (done.stdout.split() or [b"?"])[-1].decode()
    return Outcome(
        refused, large, ran, f"seed {seed}, plan {last}: exit {done.returncode}\n{done.stderr.decode()[:3000]}"
    )


def _case(number: int, steps: Plan, vectors: Vectors, draw: random.Random) -> bytes:
    placed = layout(steps, vectors)
    packed = pack(placed, {name: np.zeros(shape, np.float32) for name, shape in steps.shapes().items()})
    gaps: list[tuple[int, int]] = []
    weight_gaps: list[tuple[int, int]] = []
    places, weights = packed.places, packed.floats.size
    if draw.random() < 0.5:
        placed, gaps = _apart(placed)
        places, weights, weight_gaps = _weights_apart(placed, packed)
    threads = draw.choice((1, 1, 2, 3))
    header = np.array([number, len(placed.maps), len(placed.tiles), threads, draw.choice((1, 2, 4))], np.int32)
    counts = np.array([len(gaps), len(weight_gaps), draw.random() < 0.3], np.int32)
    rows = zip(steps.steps, placed.tiles, places, strict=True)
    structs: list[ctypes.Structure] = [*map(_map, placed.maps), *(_step(*row) for row in rows)]
    return b"".join(
        [
            header.tobytes(), counts.tobytes(), np.array([weights, placed.floats], np.int64).tobytes(),
            *map(bytes, structs), np.array(gaps, np.int64).tobytes(), np.array(weight_gaps, np.int64).tobytes(),
        ]
    )  # fmt: skip


def _apart(placed: Layout) -> tuple[Layout, list[tuple[int, int]]]:
    """Return a layout whose maps share no memory, and the gaps around them."""
    maps, gaps, here = [], [(0, _GAP)], _GAP
    for one in placed.maps:
        maps.append(dataclasses.replace(one, offset=here))
        here += one.floats
        gaps.append((here, _GAP))
        here += _GAP
    return dataclasses.replace(placed, maps=tuple(maps), floats=here), gaps


def _weights_apart(placed: Layout, packed: Packed) -> tuple[tuple[Any, ...], int, list[tuple[int, int]]]:
    """Return places with gaps between what steps read."""
    fields = ("weights", "bias", "expand_weights", "expand_bias")
    used = {"convolution": fields[:2], "depthwise": fields[:2], "squeeze": fields}
    starts: list[int] = []
    for step, place in zip(placed.plan.steps, packed.places, strict=True):
        starts += [getattr(place, name) for name in used.get(step.kind, ())]
    starts = sorted(set(starts))
    moved = {start: start + _GAP * (number + 1) for number, start in enumerate(starts)}
    ends = [*starts[1:], packed.floats.size]
    gaps = [(0, _GAP)] + [(end + _GAP * (number + 1), _GAP) for number, end in enumerate(ends)]
    places = [
        dataclasses.replace(place, **{name: moved[getattr(place, name)] for name in used.get(step.kind, ())})
        for step, place in zip(placed.plan.steps, packed.places, strict=True)
    ]
    return tuple(places), packed.floats.size + _GAP * (len(starts) + 1), gaps


def _rounds(plans: int, size: int = 500) -> Iterator[range]:
    for start in range(0, plans, size):
        yield range(start, min(plans, start + size))


def main() -> int:
    """Forge plans until so many ran under the sanitizers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=20_000, help="plans that C++ runs, over all widths of vectors")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processors", nargs="+", default=["x86-64", "x86-64-v3"], choices=list(WIDTHS))
    arguments = parser.parse_args()
    refused = large = ran = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        programs = [(sanitized(Path(folder), name), WIDTHS[name]) for name in arguments.processors]
        for turn, numbers in enumerate(_rounds(1 << 40)):
            program, vectors = programs[turn % len(programs)]
            outcome = run(program, vectors, numbers, arguments.seed)
            refused, large, ran = refused + outcome.refused, large + outcome.large, ran + outcome.ran
            if outcome.fault:
                sys.stderr.write(outcome.fault + "\n")
                return 1
            if ran >= arguments.plans:
                break
    sys.stdout.write(
        f"effnet {effnet.__version__}, seed {arguments.seed}, {' '.join(arguments.processors)}: "
        f"{refused + large + ran} forged plans, {refused} refused, {large} too large to run here, "
        f"{ran} run under the sanitizers, 0 faults, {time.monotonic() - begun:.0f} s\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
