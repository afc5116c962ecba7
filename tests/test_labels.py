"""The class names: complete, unique, in the order of the photographs' class numbers."""

from pathlib import Path

import pytest

from effnet.errors import InputError
from effnet.labels import named_outputs, outputs_for, published_labels, wordnet_ids


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


@pytest.mark.shared
def test_wordnet_ids_agree_with_500_photographs(shared: Path) -> None:
    for photograph in sorted((shared / "data" / "imagenet-sample").glob("*.JPEG")):
        number, wordnet_id, _ = photograph.stem.split("_", 2)
        assert wordnet_ids()[int(number)] == wordnet_id


def test_wordnet_ids_are_in_ascending_order_and_one_a_class() -> None:
    ids = wordnet_ids()
    assert len(ids) == 1000 and list(ids) == sorted(set(ids))
    assert all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for name in ids)


@pytest.mark.parametrize(("outputs", "first"), [(1000, 0), (1001, 1)])
@pytest.mark.parametrize("named", [True, False])
def test_classes_called_by_wordnet_ids_are_imagenets(outputs: int, first: int, named: bool) -> None:
    labels = names(outputs) if named else None
    assert outputs_for(("n01440764", "n01443537", "n15075141"), labels, outputs) == [first, first + 1, first + 999]


def test_wordnet_ids_mean_nothing_to_another_classifier() -> None:
    with pytest.raises(InputError, match="n01443537"):
        outputs_for(("n01443537",), ("ant", "bee"), 2)
    with pytest.raises(InputError, match="n99999999"):
        outputs_for(("n01443537", "n99999999"), names(1000), 1000)


def test_nameless_outputs_are_numbered_where_all_libraries_agree() -> None:
    assert outputs_for(("ant", "bee", "cat"), None, 3) == [0, 1, 2]
    assert outputs_for(tuple("0123456789"), None, 10) == list(range(10))


@pytest.mark.parametrize(
    "classes", [tuple(map(str, range(11))), ("img2", "img10"), ("class 9", "class 10", "other"), ("a2b", "a10b")]
)
def test_nameless_outputs_are_not_guessed_where_libraries_disagree(classes: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="--classes") as caught:
        outputs_for(classes, None, len(classes))
    text = str(caught.value)
    assert ", ".join(classes[:3]) in text and ", ".join(sorted(classes)[:3]) in text
    assert "torchvision" in text and "timm" in text
    assert outputs_for(classes, sorted(classes), len(classes)) == [sorted(classes).index(name) for name in classes]


def test_fewer_classes_than_nameless_outputs_ask_for_names() -> None:
    with pytest.raises(InputError, match="--classes"):
        outputs_for(("ant", "bee"), None, 3)


def test_a_name_of_two_outputs_is_no_name() -> None:
    with pytest.raises(InputError, match="several outputs crane"):
        outputs_for(("crane",), ("crane", "crane", "heron"), 3)


def test_names_given_by_a_person(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("\ufefffire ant\nbee, wild\n\n", encoding="utf-8")
    assert named_outputs(str(file), 2) == ("fire ant", "bee, wild")
    assert named_outputs("ant, bee", 2) == ("ant", "bee")
    for text in ("ant", "ant,bee,cat", "ant,ant", str(tmp_path / "missing.txt")):
        with pytest.raises(InputError, match="--classes"):
            named_outputs(text, 2)
