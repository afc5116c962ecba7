"""Every block of code in the documentation runs, on small data; what cannot is excused in the page and still parsed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from effnet.errors import EffnetError
from tests.docs import shell
from tests.docs.blocks import PYTHON, READ, SHELL, TEXT, Block, blocks, commands, pages, translated_from
from tests.docs.place import BUNDLE, furnish, furnish_bundle, shrink

PAGES = pages()
# A translation with the same code is run as its original.
RUN = [page for page in PAGES if translated_from(page) is None]


@pytest.fixture
def place(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with what pages take for granted, with the stand-ins installed."""
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EFFNET_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    shrink(monkeypatch, tmp_path_factory.mktemp("weights"))
    folder = tmp_path / "place"
    folder.mkdir()
    furnish(folder)
    monkeypatch.chdir(folder)
    return folder


def carry_out(block: Block, names: dict[str, Any]) -> None:
    """Run a block, or where it is excused or data, check it."""
    where = f"{block.page}:{block.line}"
    if block.language in PYTHON:
        code = compile("\n" * (block.line - 1) + block.text, block.page, "exec")
        if block.excuse is None:
            exec(code, names)
    elif block.language in SHELL:
        try:
            if block.excuse is None:
                shell.run(block.text)
            else:
                for line in shell.lines(block.text):
                    shell.check(line)
        except shell.UnrunnableError as error:
            pytest.fail(f"{where}: {error}\nneeds the line *Not run by the tests: REASON* before its block")
        except (EffnetError, shell.WrongCommandError) as error:
            pytest.fail(f"{where}: {error}")
    elif block.language in READ:
        {"json": json.loads, "toml": tomllib.loads, "yaml": lambda text: list(yaml.safe_load_all(text))}[
            block.language
        ](block.text)
    else:
        assert block.language in TEXT, f"{where}: name the block's language: {PYTHON + SHELL + READ + TEXT}"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("page", RUN)
def test_every_block_runs(page: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    found = blocks(page)
    if any(BUNDLE in block.text for block in found):
        furnish_bundle(Path(BUNDLE))
    for block in found:
        carry_out(block, names)


@pytest.mark.parametrize("page", PAGES)
def test_commands_named_in_passing_exist(page: str) -> None:
    wrong = {command: shell.options_exist(shell.words(command)[1:]) for command in commands(page)}
    assert not {command: words for command, words in wrong.items() if words}


def test_excuses_are_few() -> None:
    excused = [block for page in PAGES for block in blocks(page) if block.excuse]
    ran = [
        block for page in PAGES for block in blocks(page) if block.excuse is None and block.language in SHELL + PYTHON
    ]
    assert len(excused) <= len(ran) / 2
    assert all(len(block.excuse or "") >= 10 for block in excused)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```python\n1 / 0\n```", "division"),
        ("```sh\neffnet models --no-such-option\n```", "no-such-option"),
        ("```sh\neffnet predict no-such-model photo.jpg\n```", "exit status 2"),
        ("```sh\ncurl somewhere\n```", "Not run by the tests"),
        ("```sh\npip install '.[nonsense]'\n```", "nonsense"),
        ("```sh\nmake nonsense\n```", "nonsense"),
        ("```\nnothing\n```", "language"),
        ("```json\n{\n```", "Expecting"),
        ("*Not run by the tests: it needs another machine*\n\n```sh\neffnet train --nonsense\n```", "nonsense"),
        ("*Not run by the tests: it needs another machine*\n\n```python\nif\n```", "invalid syntax"),
    ],
)
def test_a_wrong_block_is_noticed(text: str, says: str) -> None:
    with pytest.raises(BaseException) as caught:  # pytest's own failures are no Exception
        carry_out(blocks("page.md", text)[0], {})
    assert says in str(caught.value)


def test_an_excuse_belongs_to_one_block() -> None:
    text = "*Not run by the tests: it needs a GPU*\n\n```sh\na\n```\n\n```sh\nb\n```\n"
    assert [block.excuse for block in blocks("page.md", text)] == ["it needs a GPU", None]


def test_a_wrong_command_in_passing_is_noticed() -> None:
    assert shell.options_exist(["train", "photos/", "--epochs", "3"]) == []
    assert shell.options_exist(["train", "--epoch"]) == ["--epoch"]
    assert shell.options_exist(["weights", "list"]) == []
    assert shell.options_exist(["nonsense"]) == ["nonsense"]
