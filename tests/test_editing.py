"""Edits as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.editing import apply_edits
from effnet.errors import EffnetError, InputError, SpecError, UnknownNameError
from effnet.families import find, names

B0 = find("b0")


def test_the_edits_of_the_readme() -> None:
    edited = apply_edits(B0, ["stage3.kernel=3", "stage3.expand_ratio=4", "classes=10"])
    assert edited == B0.with_stage(3, kernel=3, expand_ratio=4.0).replace(classes=10)


def test_every_kind_of_value_reads() -> None:
    edits = ["stem.stride=1", "stem.pool=True", "head.channels=none", "head.dropout=0.5", "conventions.padding=same"]
    edited = apply_edits(B0, [*edits, "scaling.round_limit=0", "name=mine", "in_channels=1", "stage1.expand_from=24"])
    assert (edited.stem.stride, edited.stem.pool, edited.head.channels, edited.head.dropout) == (1, True, None, 0.5)
    assert (edited.conventions.padding, edited.scaling.round_limit) == ("same", 0.0)
    assert (edited.name, edited.in_channels, edited.stages[0].expand_from) == ("mine", 1, 24)


def test_stages_means_all_of_them_and_one_may_differ() -> None:
    edited = apply_edits(B0, ["stage2.se_ratio=0.5", "stages.se_ratio=0"])
    assert [stage.block.se_ratio for stage in edited.stages] == [0, 0.5, 0, 0, 0, 0, 0]


def test_edits_of_one_place_are_made_together() -> None:
    """A ResNet block may not have SE, so neither of these edits is possible alone, in either order."""
    together = ["stage1.kind=basic", "stage1.se_ratio=0"]
    assert apply_edits(B0, together) == apply_edits(B0, together[::-1])
    with pytest.raises(SpecError):
        apply_edits(B0, together[:1])


def test_no_edits_change_nothing() -> None:
    assert apply_edits(B0, []) == B0


@pytest.mark.parametrize(
    ("edit", "kind", "says"),
    [
        ("stage3.kernal=5", UnknownNameError, "stage3.kernel"),
        ("stage8.kernel=5", UnknownNameError, "stage7"),
        ("stm.stride=1", UnknownNameError, "stem"),
        ("kernel=5", UnknownNameError, "stages.kernel"),
        ("paddin=same", UnknownNameError, "conventions.padding"),
        ("origin=none", UnknownNameError, "known: name"),
        ("stage1.block=x", UnknownNameError, "kind"),
        ("stage3.kind=mbcon", UnknownNameError, "mbconv"),
        ("stage3.kernel", InputError, "place.field=value"),
        ("stage3.kernel=", InputError, "place.field=value"),
        ("=5", InputError, "place.field=value"),
        (".kernel=5", InputError, "place.field=value"),
        ("classes=ten", InputError, "whole number"),
        ("classes=1.5", InputError, "whole number"),
        ("stage1.channels=" + "9" * 5000, InputError, "whole number"),
        ("drop_path=much", InputError, "a number"),
        ("stem.pool=yes", InputError, "true or false"),
        ("stage3.kernel=4", SpecError, "stage3.kernel: .* odd"),
        ("head.dropout=1", SpecError, "head.dropout: .* 0.999"),
        ("drop_path=nan", SpecError, "0.999"),
        ("classes=-1", SpecError, "from 0"),
    ],
)
def test_wrong_edits_say_what_to_do(edit: str, kind: type[EffnetError], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        apply_edits(B0, [edit])
    assert type(caught.value) is kind
    assert len(str(caught.value)) < 400


def test_an_edit_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        apply_edits(B0, ["classes=1", "classes=2"])


@given(text=st.text(max_size=40) | st.from_regex(r"(stage[0-9]|stem|head|scaling)\.[a-z_]+=\S+", fullmatch=True))
def test_any_text_edits_or_is_refused_with_a_typed_error(text: str) -> None:
    try:
        apply_edits(B0, [text])
    except EffnetError as error:
        assert "\n" not in str(error)


@given(name=st.sampled_from(names()), kernel=st.sampled_from([1, 3, 5, 7]), classes=st.integers(0, 100))
def test_edits_are_the_same_as_the_methods(name: str, kernel: int, classes: int) -> None:
    spec = find(name)
    assert apply_edits(spec, [f"stage2.kernel={kernel}", f"classes={classes}"]) == spec.with_stage(
        2, kernel=kernel
    ).replace(classes=classes)
