"""Twelve people with a question, answered as somebody who knows EfficientNets would."""

from __future__ import annotations

import effnet
from effnet.guide import Recommendation
from effnet.guide.situation import Situation


def labels(found: Recommendation) -> list[str]:
    return [choice.label for choice in found.choices]


def advised(found: Recommendation) -> str:
    return " ".join(advice.text for advice in found.advice)


def test_1_the_lecture_s_guide_is_reproduced_where_nothing_else_is_known() -> None:
    """A student asks what the lecture's last slide says."""
    assert labels(effnet.recommend("prototype"))[0] == "B0"
    assert labels(effnet.recommend("balanced"))[:2] == ["B3", "B4"]
    assert set(labels(effnet.recommend("best"))) == {"B5", "B6", "B7"}
    assert labels(effnet.recommend("fast-training"))[0] == "V2-S"


def test_2_a_weekend_prototype_with_200_photographs() -> None:
    found = effnet.recommend("prototype", images=200, classes=4, image_side=800)
    assert labels(found)[0] == "B0"
    assert found.choices[0].train == "effnet train DATA --model b0 --run runs/chosen"
    assert not {"B5", "B6", "B7", "V2-L"} & set(labels(found))


def test_3_a_small_shop_wants_the_best_for_its_500_products() -> None:
    """The largest network is not the best one for 500 photographs."""
    found = effnet.recommend("best", images=500, classes=10, image_side=1000)
    assert labels(found)[0] == "B2"
    assert "bigger is not always better" in advised(found)
    assert any("Lite2" in said for said in found.disagreements), "what was measured here against that rule is told"


def test_4_a_museum_with_40000_photographs_and_no_hurry() -> None:
    found = effnet.recommend("best", images=40_000, classes=120, image_side=1200)
    assert set(labels(found)) <= {"B5", "V2-S", "V2-M", "B4", "B6"}
    assert labels(found)[0] in ("V2-S", "B5", "V2-M")


def test_5_imagenet_itself_on_gpus() -> None:
    """With a million images V2 trains several times as fast as B7 and scores higher."""
    found = effnet.recommend("best", images=1_281_167, classes=1000, image_side=400, target="gpu", trained_on="gpu")
    assert labels(found)[0] in ("V2-M", "V2-L")
    assert "B7" not in labels(found)


def test_6_cifar_10() -> None:
    """32 px are nearly nothing after a division by 32: the small recipe, from nothing."""
    found = effnet.recommend("balanced", images=50_000, classes=10, image_side=32, data="cifar10:images.tar.gz")
    first = found.choices[0]
    assert first.label == "B0"
    assert first.weights is None
    assert "--recipe small" in first.train
    assert "cifar10:images.tar.gz" in first.train
    assert "small" in advised(found)


def test_7_a_few_hundred_icons() -> None:
    """Too few to learn from nothing: enlarged, so that ImageNet weights help."""
    found = effnet.recommend("balanced", images=600, classes=6, image_side=48)
    first = found.choices[0]
    assert first.label == "B0"
    assert first.weights == "efficientnet_b0.tv_in1k_v1"
    assert "--resolution 96" in first.train
    assert "--recipe small" not in first.train


def test_8_a_phone_app() -> None:
    found = effnet.recommend("balanced", images=8_000, classes=50, target="mobile", max_params=10_000_000)
    assert all(label.startswith("Lite") for label in labels(found))
    assert "efficientnet_lite4" in {entry.name for entry in found.left_out}, "13 million parameters"
    assert "litert" in found.choices[0].export


def test_9_a_camera_with_an_edge_tpu() -> None:
    found = effnet.recommend("balanced", images=20_000, target="edgetpu")
    assert all(label.startswith("EdgeTPU") for label in labels(found))


def test_10_a_laptop_without_a_gpu() -> None:
    """Training decides there: the smallest."""
    found = effnet.recommend("balanced", images=244, classes=2, image_side=370, trained_on="cpu")
    assert labels(found)[0] == "B0"
    assert any(reason.rule == "trained-on-cpu" for reason in found.choices[1].reasons)


def test_11_a_service_that_must_answer_in_20_ms() -> None:
    """Whatever the rules prefer, a limit is a limit, and it is this device that says how long."""
    asked: list[str] = []

    def latency(candidate: effnet.guide.Candidate) -> float:  # type: ignore[name-defined]
        asked.append(candidate.label)
        return candidate.macs / 50e6  # a device of 50 million MACs a millisecond

    found = effnet.recommend("best", max_latency_ms=20, latency=latency)
    assert labels(found)[0] == "B2"
    assert all(choice.latency_ms is not None and choice.latency_ms <= 20 for choice in found.choices)
    b7 = next(entry for entry in found.left_out if entry.name == "efficientnet_b7")
    assert "20 ms" in b7.why
    assert len(asked) == len(set(asked)), "each is measured once"


def test_12_one_night_of_training() -> None:
    """Eight hours on this device for 100,000 images, quickly."""
    found = effnet.recommend(
        Situation(goal="fast-training", images=100_000, image_side=500, max_train_hours=8, trained_on="gpu"),
        train_hours=lambda candidate: candidate.train_macs / 1e9,
    )
    assert labels(found)[0] == "V2-S"
    assert "--stages 4" in found.choices[0].train
    assert "--max-hours 8" in found.choices[0].train
    assert {"V2-M", "V2-L"}.isdisjoint(labels(found))
