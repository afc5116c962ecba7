"""What is printed fits the terminal; what is piped is whole."""

from __future__ import annotations

import io

import pytest

from effnet.cli import main, terminal

VERBS = (
    ("models",),
    ("summary", "b0"),
    ("summary", "b0", "--resolution", "320"),
    ("scale", "b0", "--phi", "0..7"),
    ("scale", "b0", "--width", "1..2"),
    ("compare", "b0", "b4", "resnet50"),
    ("compare", "--tables"),
    ("weights", "list", "b0"),
    ("recommend", "--images", "500"),
)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, columns: int, *arguments: str) -> list[str]:
    screen = Screen()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout", screen)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code
    return screen.getvalue().splitlines()


@pytest.mark.parametrize("arguments", VERBS, ids=" ".join)
def test_eighty_columns_are_enough(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    wide = [line for line in shown(monkeypatch, 80, *arguments) if len(line) > 80]
    assert not wide


def test_what_is_left_out_is_named_and_a_wide_terminal_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide = shown(monkeypatch, 80, "models", "b?"), shown(monkeypatch, 200, "models", "b?")
    assert "activations" not in narrow[0] and "activations" in narrow[-1]
    assert "activations" in wide[0] and "(a wider" not in wide[-1]


def test_what_is_piped_is_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        main(["models", "b0"])
    assert "activations" in capsys.readouterr().out.splitlines()[0]


def test_prose_is_wrapped_under_its_beginning_and_tables_and_commands_stay() -> None:
    prose = "- one two three four five six seven eight nine ten eleven twelve"
    text = "\n".join([prose, "name  " + "x" * 60, "   train   effnet train DATA --model b0 --run runs/chosen"])
    lines = terminal.wrapped(text, 40).split("\n")
    assert lines[:2] == ["- one two three four five six seven", "  eight nine ten eleven twelve"]
    assert lines[2:] == text.split("\n")[1:]
    assert terminal.wrapped(text, None) == text


def test_a_summary_is_of_the_size_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["summary", "b0", "--resolution", "320"])
    assert capsys.readouterr().out.startswith("efficientnet_b0: 3 x 320 x 320 -> 1000 classes")
