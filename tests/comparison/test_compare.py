"""Networks side by side: whatever names them, what they cost and scored, and who is on the front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import effnet
from effnet.comparison import Measured, Subject, compare
from effnet.comparison.compare import cost_on
from effnet.errors import EffnetError, InputError, SpecError, UnknownNameError, WeightsError
from effnet.families import find, names
from tests.tiny import save_tiny_model, tiny_network


def test_published_networks_count_at_the_size_of_their_accuracy() -> None:
    (b2,) = compare("b2").subjects
    assert (b2.top1, b2.resolution, b2.recipe) == (80.608, 288, "IMAGENET1K_V1")
    assert b2.params == 9_109_994
    assert b2.macs == effnet.cost_of(find("b2"), resolution=288).macs


def test_everything_published_is_compared_without_names() -> None:
    assert [subject.name for subject in effnet.compare().subjects] == list(names())


def test_patterns_tags_and_rows_of_papers_are_found() -> None:
    found = [s.name for s in compare("b?", "swin*", "tf_efficientnet_b0.ns_jft_in1k", "SENet").subjects]
    assert found[0] == "efficientnet_b0"
    assert found[-5:] == ["swin_t", "swin_s", "swin_b", "tf_efficientnet_b0.ns_jft_in1k", "senet"]
    assert len(compare("b0", "efficientnet-b0", "b*").subjects) == 9, "each network once"


def test_more_training_data_keeps_off_the_front() -> None:
    both = compare("b0", "tf_efficientnet_b0.ns_jft_in1k")
    assert both.subjects[1].extra_data == "JFT-300M"
    assert both.front("macs") == ("efficientnet_b0",)


def test_the_front_is_of_networks_that_nothing_beats() -> None:
    result = compare("b0", "b7", "v2-m", "resnet18", "gpipe")
    assert result.front("macs") == ("efficientnet_b0", "efficientnetv2_m"), "B7 costs more than V2-M and scores less"
    assert result.front("latency") == (), "nothing was measured"


def test_own_specs_and_model_files_stand_beside_them(tmp_path: Path) -> None:
    spec = find("b0").replace(classes=10, name="mine")
    file = tmp_path / "mine.json"
    file.write_text(spec.to_json())
    model = save_tiny_model(tmp_path / "tiny.safetensors")
    given, read, trained = compare(spec, file, model).subjects
    assert (given.name, given.params, given.kind) == ("mine", effnet.cost_of(spec).params, "spec")
    assert read.params == given.params
    assert (trained.kind, trained.file_bytes, trained.file_exact) == ("model", model.stat().st_size, True)
    assert trained.params == sum(p.numel() for p in tiny_network().parameters())
    assert trained.resolution == 32


def test_another_resolution_drops_the_accuracy() -> None:
    (b0,) = compare("b0", resolution=320).subjects
    assert b0.macs == effnet.cost_of(find("b0"), resolution=320).macs
    assert b0.top1 is None
    assert "224" in (b0.note or "")
    assert compare("b0", resolution=224).subjects[0].top1 == 77.692


def test_what_is_measured_is_kept_and_orders_the_latency_front() -> None:
    def measure(subjects: Sequence[Subject]) -> list[Measured | None]:
        blank = {"low_ms": 1.0, "high_ms": 2.0, "images_per_s": 9.0, "batch": 8, "peak_bytes": None, "runs": 3}
        slow = {"efficientnet_b0": 5.0, "resnet50": 4.0}
        return [Measured(latency_ms=slow[s.name], device="x", **blank) if s.spec else None for s in subjects]

    result = compare("b0", "resnet50", "swin_t", measure=measure)
    assert [cost_on(s, "latency") for s in result.subjects] == [5.0, 4.0, None]
    assert result.front("latency") == ("resnet50",)
    measured = result.to_dict()["networks"][0]["measured"]
    assert measured["latency_ms"] == 5.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("b99", UnknownNameError),
        ("zzz*", UnknownNameError),
        ("absent.json", InputError),
        ("absent.safetensors", InputError),
        ("\0", EffnetError),
    ],
)
def test_what_nothing_answers_to_is_refused(name: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        compare(name)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{")
    with pytest.raises(SpecError, match=r"x\.json"):
        compare(file)
    weights = save_tiny_model(tmp_path / "x.safetensors")
    data = weights.read_bytes()
    for content in (b"", data[:40], b"PK\x03\x04" + data, data.replace(b'\\"spec\\"', b'\\"spam\\"', 1)):
        weights.write_bytes(content)
        with pytest.raises(WeightsError):
            compare(weights)
