"""Errors print as one line with what, where and how to fix, and cross process borders whole."""

import pickle

import pytest

from effnet import errors
from effnet.errors import EffnetError, MissingDependencyError, UnknownNameError, nearest

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EffnetError)]


def test_one_line_with_all_three_parts() -> None:
    error = EffnetError("is\nbroken", where="a.pth", fix="fetch it again")
    assert str(error) == "a.pth: is broken. Fix: fetch it again"
    assert str(EffnetError("is broken")) == "is broken"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling(kind: type[EffnetError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", where="where", fix="fix")))
    assert type(error) is kind
    assert (error.what, error.where, error.fix) == ("what", "where", "fix")
    assert error.exit_code in (1, 2)


def test_unknown_names_suggest_the_nearest() -> None:
    error = UnknownNameError.among("recipe", "finetun", ["finetune", "v1", "small"])
    assert "did you mean finetune?" in str(error)
    assert "did you mean" not in str(UnknownNameError.among("recipe", "qqqq", ["finetune"]))


def test_nearest_ignores_case_and_keeps_order() -> None:
    assert nearest("SILU", ["relu", "silu"])[0] == "silu"
    assert nearest("xyz", ["silu"]) == []


def test_missing_packages_name_the_extra() -> None:
    error = MissingDependencyError.for_extra("h5py", "keras", "reading a .h5 file")
    assert "pip install 'effnet[keras]'" in str(error)
