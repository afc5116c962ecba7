"""The numbers in a picture, and whether its labels can be read."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from hypothesis import given, settings

from effnet.cost import cost
from effnet.families import find, names
from effnet.quantities import billions, count_text, millions, size_text
from effnet.receptive_field import receptive_fields
from effnet.report.anatomy import aligned, anatomy, changes
from effnet.report.anatomy_diagram import draw_one, draw_two
from effnet.report.anatomy_page import render
from effnet.report.block_drawing import designs, units
from effnet.report.svg import text_width
from effnet.scaling import compound
from effnet.spec import NetworkSpec
from tests.strategies import specs

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(picture).iter(f"{SVG}text")]


def boxes(picture: str) -> list[tuple[str, float, float, float, float]]:
    """Return (text, left, top, right, bottom) of every label."""
    found = []
    for element in ET.fromstring(picture).iter(f"{SVG}text"):
        text, size = "".join(element.itertext()), float(element.get("font-size", "0"))
        bold = element.get("font-weight") == "600"
        wide, x, y = text_width(text, size, bold=bold), float(element.get("x", "0")), float(element.get("y", "0"))
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[element.get("text-anchor", "start")]
        found.append((text, left, y - 0.75 * size, left + wide, y + 0.2 * size))
    return found


def assert_legible(picture: str) -> None:
    root = ET.fromstring(picture)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    labels = boxes(picture)
    for text, left, top, right, bottom in labels:
        assert left >= 0 and top >= 0 and right <= width + 1 and bottom <= height, text
    for one, other in combinations(labels, 2):
        apart = one[3] <= other[1] or other[3] <= one[1] or one[4] <= other[2] or other[4] <= one[2]
        assert apart, (one, other)


@pytest.mark.parametrize("name", names())
def test_labels_of_every_published_network_stand_apart(name: str) -> None:
    assert_legible(draw_one(anatomy(find(name))))


@pytest.mark.parametrize(
    "pair", [("b0", "b4"), ("b0", "v2-s"), ("resnet50", "b0"), ("b0", "l2"), ("lite0", "lite4"), ("resnet18", "v2-xl")]
)
def test_labels_of_two_networks_stand_apart(pair: tuple[str, str]) -> None:
    assert_legible(draw_two(anatomy(find(pair[0])), anatomy(find(pair[1]))))


@given(one=specs(), other=specs())
@settings(max_examples=25)
def test_any_network_can_be_drawn(one: NetworkSpec, other: NetworkSpec) -> None:
    first, second = anatomy(one), anatomy(other)
    assert_legible(draw_one(first))
    assert_legible(draw_two(first, second))


@pytest.mark.parametrize("name", ["b0", "v2-s", "resnet50", "lite0", "edgetpu-m"])
def test_the_numbers_are_those_of_cost(name: str) -> None:
    spec = find(name)
    counted, shown = cost(spec), texts(draw_one(anatomy(spec)))
    line = next(text for text in shown if "parameters" in text and "blocks" in text)
    for number in (millions(counted.params), billions(counted.macs), f"{spec.resolution} px", f"{spec.blocks} blocks"):
        assert number in line
    for number, stage in enumerate(spec.stages, 1):
        own = [layer for layer in counted.layers if layer.name.startswith(f"features.{number}.")]
        assert count_text(sum(layer.macs for layer in own)) in shown
        assert count_text(sum(layer.params for layer in own)) in shown
        assert count_text(sum(layer.activations for layer in own)) in shown
        assert size_text(max(layer.live_bytes for layer in own)) in shown
        size = own[-1].out_shape[1]
        assert f"{stage.channels} x {size} x {size}" in shown
        field = receptive_fields(spec)[number]
        assert f"{field.size} px{'+' if field.is_global else ''}" in shown


@given(spec=specs())
@settings(max_examples=40)
def test_parts_add_up_to_the_network(spec: NetworkSpec) -> None:
    whole = anatomy(spec)
    for name in ("params", "macs", "activations"):
        assert sum(getattr(part, name) for part in whole.parts) == getattr(whole.cost, name)
    assert max(part.live_bytes for part in whole.parts) == whole.cost.peak_inference_bytes
    data = json.loads(json.dumps(whole.to_dict()))
    assert len(data["layers"]) == len(whole.cost.layers)
    assert {layer["part"] for layer in data["layers"]} == {part["name"] for part in data["parts"]}


def test_each_layer_has_its_bar_and_number() -> None:
    whole = anatomy(find("b0"))
    tips = [element.text or "" for element in ET.fromstring(draw_one(whole)).iter(f"{SVG}title")]
    for layer in whole.cost.layers:
        own = [tip for tip in tips if tip.startswith(f"{layer.name}: ")]
        assert len(own) == 4
        assert [re.findall(r": ([\d,]+) \(", tip)[-1] for tip in own] == [
            f"{value:,}" for value in (layer.params, layer.macs, layer.activations, layer.live_bytes)
        ]


def test_what_scaling_changed_is_marked() -> None:
    b0, b4 = anatomy(find("b0")), anatomy(find("b4"))
    picture = draw_two(b0, b4)
    assert any(
        "resolution 224 to 380 px (x1.70)" in text and "width x1.4" in text and "depth x1.8" in text
        for text in texts(picture)
    )
    marked = [e.text for e in ET.fromstring(picture).iter(f"{SVG}tspan") if e.get("font-weight") == "600"]
    assert {"48", "24", "32", "56", "112", "160", "272", "448", "1792"} <= set(marked)  # B4's channels
    assert {"x2", "x4", "x6", "x8"} <= set(marked)
    same = ET.fromstring(draw_two(b0, b0))
    assert not [e for e in same.iter(f"{SVG}tspan") if e.get("font-weight") == "600"]


def test_stages_of_one_scale_stand_together() -> None:
    def rows(one: str, other: str) -> list[tuple[str | None, str | None]]:
        pairs = aligned(anatomy(find(one)), anatomy(find(other)))
        return [(a and a.name, b and b.name) for a, b in pairs]

    assert rows("b0", "b7") == [(name, name) for name, _ in rows("b0", "b0")]
    assert ("stage 7", None) in rows("b0", "v2-s")
    assert rows("b0", "v2-s")[-2:] == [("head", "head"), ("classifier", "classifier")]
    resnet = rows("b0", "resnet50")
    assert resnet[0] == ("stem", "stem") and resnet[-1] == ("classifier", "classifier")
    # ResNet's stage 2 is the first at stride 8, as B0's stage 3 is.
    assert ("stage 3", "stage 2") in resnet


@given(one=specs(), other=specs())
@settings(max_examples=40)
def test_alignment_keeps_all_parts_in_order(one: NetworkSpec, other: NetworkSpec) -> None:
    first, second = anatomy(one), anatomy(other)
    pairs = aligned(first, second)
    assert [a for a, _ in pairs if a is not None] == list(first.parts)
    assert [b for _, b in pairs if b is not None] == list(second.parts)
    assert all(a is not None or b is not None for a, b in pairs)


def test_changes_name_what_differs() -> None:
    b0 = find("b0")
    one, other = anatomy(b0), anatomy(b0.with_stage(3, channels=48, repeats=3))
    pairs = aligned(one, other)
    differ = {a.name: changes(a, b) for a, b in pairs if a is not None and b is not None and changes(a, b)}
    assert differ == {"stage 3": {"channels": (40, 48), "repeats": (2, 3)}}


def test_blocks_are_drawn_as_the_papers_draw_them() -> None:
    def boxes_of(name: str) -> dict[str, list[str]]:
        return {drawn.label: [unit.text for unit in units(drawn)] for drawn in designs([anatomy(find(name))])}

    b0 = boxes_of("b0")
    assert b0["MBConv1 k3x3 se0.25"] == ["depthwise 3x3, SiLU", "SE, squeezed to 8", "conv 1x1, 16"]
    assert b0["MBConv6 k5x5 se0.25"] == [
        "conv 1x1, 240, SiLU",
        "depthwise 5x5, SiLU",
        "SE, squeezed to 10",
        "conv 1x1, 40",
    ]
    v2 = boxes_of("v2-s")
    assert v2["Fused-MBConv1 k3x3"] == ["conv 3x3, 24, SiLU"]
    assert v2["Fused-MBConv4 k3x3"] == ["conv 3x3, 192, SiLU", "conv 1x1, 48"]
    assert boxes_of("resnet50")["Bottleneck k3x3"] == ["conv 1x1, 64, ReLU", "conv 3x3, 64, ReLU", "conv 1x1, 256"]
    assert boxes_of("resnet18")["Basic k3x3"] == ["conv 3x3, 64, ReLU", "conv 3x3, 64"]


def test_designs_that_are_left_out_are_counted() -> None:
    spec = find("b0")
    for number in range(1, 8):
        spec = spec.with_stage(number, kernel=7, expand_ratio=float(number + 1))
    assert len(designs([anatomy(find("b0")), anatomy(spec)])) == 8
    assert any("8 of 10 designs" in text for text in texts(draw_two(anatomy(find("b0")), anatomy(spec))))
    assert not any("designs" in text for text in texts(draw_one(anatomy(spec))))


def test_names_cannot_break_the_picture() -> None:
    hostile = find("b0").replace(name="<script>'\"&" + "x" * 500 + "\x00\ud800")
    for picture in (draw_one(anatomy(hostile)), draw_two(anatomy(hostile), anatomy(compound(find("b0"), 1)))):
        picture.encode()
        assert_legible(picture)
        assert "<script>" not in picture


def test_the_page_holds_the_picture_and_every_layer() -> None:
    networks = [anatomy(find("b0")), anatomy(find("b1"))]
    page = render(networks, draw_two(*networks))
    assert page.count("<svg") == 1
    for network in networks:
        for layer in network.cost.layers:
            assert f"<td>{layer.name}</td>" in page
            assert f"{layer.macs:,}" in page
    assert not re.search(r"(src|href)=", page)


def test_the_page_is_never_cut_and_follows_the_readers_colours() -> None:
    networks = [anatomy(find("b0")), anatomy(find("b1"))]
    page = render(networks, draw_two(*networks))
    drawn = page[page.index("<svg") : page.index("</svg>")]
    assert "<figure><svg" in page and "figure svg { display: block; width: 100%; height: auto; }" in page
    assert not re.search(r"(fill|stroke)='#(ffffff|1d2430|5d6675|c9d0da|f3f5f8)'", drawn)
    for name in set(re.findall(r"var\(--(\w+)\)", drawn)):
        assert f"--{name}:" in page
