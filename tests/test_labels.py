"""The class names: complete, unique, in the order of the photographs' class numbers."""

from pathlib import Path

import pytest

from effnet.labels import published_labels


def names(classes: int) -> tuple[str, ...]:
    labels = published_labels(classes)
    assert labels is not None
    return labels


def test_there_is_one_name_a_class() -> None:
    labels = names(1000)
    assert len(labels) == 1000
    assert len({label.casefold() for label in labels}) == 1000
    assert all(label == label.strip() and label.isprintable() and label for label in labels)


@pytest.mark.parametrize(
    ("index", "label"),
    [
        (0, "tench"),
        (134, "crane (bird)"),
        (264, "Cardigan Welsh corgi"),
        (281, "tabby"),
        (474, "cardigan"),
        (517, "crane (machine)"),
        (638, "maillot"),
        (639, "tank suit"),
        (985, "daisy"),
        (999, "toilet tissue"),
    ],
)
def test_known_classes_are_where_everyone_has_them(index: int, label: str) -> None:
    assert names(1000)[index] == label


def test_the_official_classifiers_with_1001_outputs_start_with_background() -> None:
    assert names(1001) == ("background", *names(1000))


@pytest.mark.parametrize("classes", [0, 1, 10, 999, 1002, 21843])
def test_other_classifiers_have_no_published_names(classes: int) -> None:
    assert published_labels(classes) is None


@pytest.mark.shared
def test_names_agree_with_500_photographs_named_by_someone_else(shared: Path) -> None:
    photographs = sorted((shared / "data" / "imagenet-sample").glob("*.JPEG"))
    assert len(photographs) == 500
    for photograph in photographs:
        number, _, name = photograph.stem.split("_", 2)
        label = names(1000)[int(number)].partition(" (")[0]
        assert label.casefold() == name.replace("_", " ").casefold(), photograph.name
