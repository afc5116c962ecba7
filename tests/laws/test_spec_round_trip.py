"""A spec survives JSON both ways, and what is not a spec is refused with a typed error, whatever it is."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.errors import EffnetError, SpecError
from effnet.families import find, names
from effnet.scaling import compound
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll
from tests.strategies import specs

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(spec=specs())
def test_random_networks_survive_json(spec: NetworkSpec) -> None:
    assert NetworkSpec.from_json(spec.to_json()) == spec
    assert NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize("name", names())
def test_published_networks_survive_json(name: str) -> None:
    spec = find(name)
    again = NetworkSpec.from_json(spec.to_json())
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.origin == spec.origin
    assert str(again) == str(spec)


@given(phi=st.floats(-8, 8), name=st.sampled_from(["b0", "b3", "v2-b0", "lite0", "edgetpu-s"]))
def test_scaled_networks_survive_json(phi: float, name: str) -> None:
    spec = compound(find(name), phi)
    assert NetworkSpec.from_json(spec.to_json()) == spec


@given(spec=specs())
@settings(max_examples=20)
def test_networks_survive_copies_and_other_processes(spec: NetworkSpec) -> None:
    assert copy.deepcopy(spec) == pickle.loads(pickle.dumps(spec)) == spec


@given(junk=JUNK)
def test_junk_is_refused(junk: Any) -> None:
    with pytest.raises(SpecError):
        NetworkSpec.from_dict(junk)


@given(text=st.text(max_size=50))
def test_junk_text_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        NetworkSpec.from_json(text)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of everything inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in inside for deeper in places(item, (*path, key)))]


DOCUMENT = compound(find("b0"), 1.0).to_dict()


@given(path=st.sampled_from([place for place in places(DOCUMENT) if place]), junk=JUNK, remove=st.booleans())
@settings(max_examples=300)
def test_one_damaged_place_is_refused_or_harmless(path: tuple[str | int, ...], junk: Any, remove: bool) -> None:
    data = copy.deepcopy(DOCUMENT)
    holder: Any = data
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = junk
    try:
        spec = NetworkSpec.from_dict(data)
    except SpecError as error:
        assert "\n" not in str(error)
        assert error.fix
        return
    assert NetworkSpec.from_json(spec.to_json()) == spec
    try:
        unroll(spec)
    except EffnetError:
        pytest.fail("a spec that was accepted cannot be unrolled")
