"""Plans that nobody's export wrote: refused before any loop runs, or run without touching what is not theirs."""

from __future__ import annotations

import dataclasses
import json
import platform
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from effnet.deploy.bundle import Bundle
from effnet.deploy.engines import open_engine
from effnet.deploy.export import convert, describe
from effnet.deploy.export.model import find_model
from effnet.deploy.native import plan as plans
from effnet.deploy.native.compiling import compiler
from effnet.deploy.native.layout import Vectors, layout
from effnet.deploy.native.packing import pack
from effnet.deploy.native.plan import FeatureMap, Plan, Step, plan
from effnet.errors import WeightsError
from effnet.nn import build, fold_norms
from effnet.spec import BlockSpec, HeadSpec, NetworkSpec, StageSpec, StemSpec
from tests.deploy.native import forging
from tests.tiny import tiny_network

X86 = platform.machine() == "x86_64"

MAPS = ((3, 8, 8), (16, 8, 8), (16, 8, 8), (16, 1, 1), (16, 8, 8), (16, 1, 1), (16, 1, 1), (5, 1, 1))


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("g++") is None or not X86:
        pytest.skip("needs g++ and its sanitizers on x86-64")
    return forging.sanitized(tmp_path_factory.mktemp("sanitized"), "x86-64", optimise="-O0")


def document(**changes: object) -> str:
    """Return the text of a good plan of six steps, with changes such as `step_0_kind="mean"`."""
    first = {"kind": "convolution", "input": 0, "output": 1, "layer": "a", "kernel": 3, "before": 1}
    steps: list[dict[str, Any]] = [
        first,
        {"kind": "depthwise", "input": 1, "output": 2, "layer": "b", "kernel": 3, "before": 1, "sums": 3},
        {"kind": "squeeze", "input": 2, "output": 5, "layer": "c", "sums": 3, "squeezed": 4},
        {"kind": "convolution", "input": 2, "output": 4, "layer": "d", "gate": 5, "shortcut": 1},
        {"kind": "mean", "input": 4, "output": 6},
        {"kind": "convolution", "input": 6, "output": 7, "layer": "e"},
    ]
    maps = [dict(zip(("channels", "height", "width"), m, strict=True)) for m in MAPS]
    for path, value in changes.items():
        kind, number, field = path.split("_", 2)
        (steps if kind == "step" else maps)[int(number)][field] = value
    defaults = json.loads(json.dumps(dataclasses.asdict(Step(kind="mean", input=0, output=1))))
    return json.dumps({"version": 1, "maps": maps, "steps": [{**defaults, **step} for step in steps]})


def test_the_plan_that_is_changed_below_is_a_good_one() -> None:
    assert len(Plan.from_json(document()).steps) == 6


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step_0_kind": "depthwise", "map_1_channels": 3}, "image"),
        ({"step_0_kind": "max_pool", "map_1_channels": 3}, "image"),
        ({"step_3_shortcut": 0, "map_0_channels": 16}, "image"),
        ({"step_3_gate": 0}, "image"),
        ({"step_3_gate": 3}, "gate"),
        ({"step_5_input": 5}, "gate"),
        ({"step_4_input": 5}, "gate"),
        ({"step_3_layer": "a"}, "another step's"),
        ({"step_3_layer": "c.fc1"}, "another step's"),
        ({"step_1_sums": 2}, "order"),
        ({"step_0_kernel": 33}, "window"),
        ({"step_0_kernel": 65535, "step_0_before": 30000}, "window"),
        ({"step_0_stride": 9}, "window"),
        ({"step_1_before": 2}, "window"),
        ({"map_0_channels": 1 << 24, "map_0_height": 256, "map_0_width": 1}, "map of"),
        ({"map_0_channels": 1, "map_0_height": 1 << 16, "map_0_width": 1 << 16}, "map of"),
        ({"step_2_squeezed": 0}, "fit"),
    ],
)
def test_each_rule_that_the_loops_rely_on_is_proved(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        Plan.from_json(document(**changes))
    assert caught.value.fix


def test_a_map_that_no_step_writes_is_refused() -> None:
    maps = tuple(FeatureMap(channels=c, height=h, width=w) for c, h, w in ((3, 4, 4), (3, 4, 4), (3, 4, 4), (5, 1, 1)))
    steps = (
        Step(kind="convolution", input=0, output=1, layer="a"),
        Step(kind="convolution", input=1, output=3, layer="b", stride=4),
    )
    with pytest.raises(WeightsError, match="never written"):
        Plan(maps=maps, steps=steps)


def test_a_depthwise_convolution_of_the_image_is_refused_before_it_runs() -> None:
    # The bundle that ended predict, serve and a running server with SIGSEGV.
    maps = ((3, 224, 224), (3, 112, 112), (3, 1, 1))
    steps = (
        Step(kind="depthwise", input=0, output=1, layer="a", kernel=3, stride=2, before=1),
        Step(kind="mean", input=1, output=2),
    )
    with pytest.raises(WeightsError, match="only a convolution reads the image"):
        Plan(maps=tuple(FeatureMap(channels=c, height=h, width=w) for c, h, w in maps), steps=steps)
    text = json.dumps(
        {
            "version": 1,
            "maps": [{"channels": c, "height": h, "width": w} for c, h, w in maps],
            "steps": [{**dataclasses.asdict(step), "before": 2 if step.kind == "depthwise" else 0} for step in steps],
        }
    )
    manifest = describe(find_model(tiny_network()), "native", "fp32")
    payload = {**convert(tiny_network(), manifest), "plan.json": text.encode()}
    with pytest.raises(WeightsError):
        open_engine(Bundle(manifest=manifest, certificate=None, payload=payload), "native")


def test_every_refusal_of_a_forged_plan_is_typed() -> None:
    refused = 0
    for number in range(400):
        text = forging.forged(random.Random(f"typed {number}"))
        try:
            made = Plan.from_json(text)
        except WeightsError as error:
            refused += 1
            assert error.what and error.where and error.fix
            continue
        if sum(map(made.macs, made.steps)) < 1_000_000:  # what is accepted is packed too: this raised ValueError
            placed = layout(made, Vectors(lanes=8, registers=16))
            pack(placed, {name: np.zeros(shape, np.float32) for name, shape in made.shapes().items()})
    assert 100 < refused < 350


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("channels", [16, 33])
def test_an_image_of_many_channels_and_a_stem_without_stride_are_computed_as_torch_does(channels: int) -> None:
    # Winograd's loops read vectors of channels, which the image has not: they left its map.
    spec = NetworkSpec(
        name="spectral",
        stem=StemSpec(channels=32, stride=1),
        stages=(StageSpec(block=BlockSpec(kind="mbconv"), channels=16, repeats=1),),
        head=HeadSpec(channels=None),
        classes=3,
        in_channels=channels,
        resolution=32,
    )
    torch.manual_seed(0)
    network = build(spec).eval()
    steps = plan(spec, 32)
    placed = layout(steps, Vectors(lanes=8, registers=16))
    assert placed.tiles[0].winograd == 0
    assert set(steps.shapes()) <= set(fold_norms(network).state_dict())
    manifest = describe(find_model(network), "native", "fp32", size=32)
    images = torch.randn(2, channels, 32, 32).numpy()
    engine = open_engine(Bundle(manifest=manifest, certificate=None, payload=convert(network, manifest)), "native")
    with torch.inference_mode():
        wanted = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(engine.run(images), wanted, atol=2e-4)


def test_forged_plans_run_under_the_sanitizers_without_a_fault(sanitized: Path) -> None:
    outcome = forging.run(sanitized, forging.WIDTHS["x86-64"], range(120), seed=7)
    assert outcome.fault is None, outcome.fault
    assert outcome.ran >= 30


def test_the_sanitizers_see_a_plan_that_breaks_a_rule(sanitized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "prove", lambda maps, steps: None)
    text = document(step_0_kind="depthwise", map_1_channels=3)
    monkeypatch.setattr(forging, "forged", lambda draw: text)
    fault = forging.run(sanitized, forging.WIDTHS["x86-64"], range(1), seed=1).fault
    assert fault is not None and ("AddressSanitizer" in fault or "runtime error" in fault)
