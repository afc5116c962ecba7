"""Carrying out the commands of a page: `effnet` in this process, the few others by looking whether they could work."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from effnet.cli import main
from effnet.cli.app import VERBS, _build
from tests.docs.blocks import ROOT

# Replaced in a command before it runs, or added to it, so that what takes minutes takes seconds. The command as it
# stands in the page is parsed first.
_STUDY = {"--phi": "-6", "--edit": "resolution=32", "--seeds": "1", "--epochs": "1"}
SMALL: dict[str, dict[str, str]] = {
    "search --evaluator none": {"--trials": "200"},
    "compare --measure": {"--rounds": "1", "--batch": "1"},
    "recommend --try": {"--max-minutes": "1", "--epochs": "1", "--count": "2"},
    "quantize": {
        "--method": "ptq",
        "--max-drop": "100",
        "--min-agreement": "0",
        "--max-minutes": "0.1",
        "--calibration": "8",
        "--images": "8",
    },
    "study scaling": {**_STUDY, "--candidates": "2", "--coefficients": ""},
    "study axes": {**_STUDY, "--multiples": "2", "--tolerance": "0.5"},
    "study latency": {"--phi": "-6", "--edit": "resolution=32", "--networks": "2", "--validate": "0"},
    "search": {
        **{name: value for name, value in _STUDY.items() if name != "--seeds"},
        "--cost": "macs",
        "--target": "4M",
        "--trials": "2",
        "--control": "1",
        "--finalists": "1",
        "--final-seeds": "1",
        "--supernet-epochs": "0",
    },
}

_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


class UnrunnableError(Exception):
    """A line of a page that the tests can neither run nor check: it needs an excuse."""


class WrongCommandError(Exception):
    """A command of a page that the command line refuses."""


def lines(text: str) -> list[str]:
    """Return the commands of a block: one a line, continued after a backslash, without comments."""
    whole = re.sub(r"\\\n\s*", " ", text)
    return [line for line in (line.strip() for line in whole.splitlines()) if line and not line.startswith("#")]


def words(line: str) -> list[str]:
    """Split a command as a shell does, comment dropped."""
    return shlex.split(line, comments=True)


def parse(argv: list[str]) -> None:
    """Check the words after `effnet` against the command line, running nothing.

    Raises:
        WrongCommandError: no such verb, option or value.
    """
    command: Any = typer.main.get_command(_build([argv[0]] if argv[:1] and argv[0] in VERBS else list(VERBS)))
    context, rest = None, list(argv)
    # typer brings a click of its own, or in older versions uses the installed one: both have these names.
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("-"):
            return
        context = command.context_class(command, parent=context)
        if rest[0] not in command.commands:
            raise WrongCommandError(f"no such verb: {rest[0]}")
        command = command.commands[rest.pop(0)]
    try:
        command.make_context(command.name, rest, parent=context)
    except Exception as error:
        if type(error).__name__ == "Exit":  # --help
            return
        explain = getattr(error, "format_message", error.__str__)
        raise WrongCommandError(explain()) from None


def options_exist(argv: list[str]) -> list[str]:
    """Return which words of a command named in passing are no verb or option; its arguments may be missing."""
    verbs = [word.rstrip(",.;:") for word in argv if re.fullmatch(r"[a-z]+", word)]
    if not verbs or verbs[0] not in VERBS:
        return argv[:1]
    command: Any = typer.main.get_command(_build([verbs[0]]))
    for verb in verbs:
        if verb in getattr(command, "commands", ()):
            command = command.commands[verb]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in argv if re.match(r"--?[a-z]", word)]
    return [word for word in given if word not in known | {"--help", "--version"}]


def shrunk(argv: list[str]) -> list[str]:
    """Return the command with the values of SMALL."""
    if "--resume" in argv or "--help" in argv or "--print-space" in argv:
        return argv
    verb = next((verb for verb in SMALL if verb.split()[0] == argv[0] and set(verb.split()) <= set(argv)), None)
    if verb is None:
        return argv
    result = list(argv)
    for option, value in SMALL[verb].items():
        while option in result:
            del result[result.index(option) : result.index(option) + 2]
        if value:
            result += [option, value]
    return result


def run(text: str) -> None:
    """Carry out the commands of a block, in order. A server that it starts is there for the commands after it.

    Raises:
        UnrunnableError: nothing here can run or check one of them.
        WrongCommandError: the command line does not know an option.
        AssertionError: one fails.
    """
    with contextlib.ExitStack() as servers:
        port: int | None = None
        for line in lines(text):
            argv, assigned = _assigned(words(line.removesuffix("&")))
            if argv[:1] == ["effnet"]:
                parse(argv[1:])
                arguments = shrunk(_placeholders(argv[1:]))
                if arguments[0] == "serve":
                    port = servers.enter_context(_served(arguments, assigned))
                else:
                    _effnet(arguments, assigned)
            elif argv[:2] == ["pip", "install"]:
                _pip(argv[2:])
            elif argv[:1] == ["make"]:
                _make(argv[1:])
            elif argv[:1] == ["curl"] and port is not None:
                _curl(argv[1:], port)
            else:
                raise UnrunnableError(line)


def check(line: str) -> None:
    """Check the part of an excused command that is ours: the words after `effnet` or `-m effnet.cli`."""
    for part in re.split(r"\s(?:&&|\||;)\s", line):
        argv = words(part.rstrip("&").strip())
        if "effnet.cli" in argv:
            parse(argv[argv.index("effnet.cli") + 1 :])
        elif "effnet" in argv and argv.index("effnet") == len([w for w in argv if _ASSIGNMENT.fullmatch(w)]):
            parse([word for word in argv[argv.index("effnet") + 1 :] if word not in (">", "2>")])


def _effnet(argv: list[str], environment: dict[str, str]) -> None:
    with _environment(environment), _redirected(argv) as arguments:
        try:
            main(arguments)
        except SystemExit as stop:
            assert not stop.code, f"effnet {' '.join(arguments)}: exit status {stop.code}"


def _assigned(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Split off the variables that stand before a command."""
    count = next((i for i, word in enumerate(argv) if not _ASSIGNMENT.fullmatch(word)), len(argv))
    return argv[count:], dict(word.split("=", 1) for word in argv[:count])


@contextlib.contextmanager
def _served(argv: list[str], environment: dict[str, str]) -> Iterator[int]:
    """Run the server on a free port, and stop it as its manager would; yield the port."""
    for option in ("--port", "-p"):
        while option in argv:
            del argv[argv.index(option) : argv.index(option) + 2]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "effnet.cli", *argv, "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True) as server:
        try:
            _wait_until_ready(port, server)
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            errors = server.communicate(timeout=60)[1]
    assert server.returncode in (0, 143), f"effnet {' '.join(argv)}: exit status {server.returncode}\n{errors}"


def _curl(argv: list[str], port: int) -> None:
    if shutil.which("curl") is None:
        return
    asked = [re.sub(r"(127\.0\.0\.1|localhost):\d+", f"127.0.0.1:{port}", word) for word in argv]
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", *asked], capture_output=True, text=True
    )
    assert done.returncode == 0, f"curl {' '.join(argv)}: {done.stdout} {done.stderr}"


def _wait_until_ready(port: int, server: subprocess.Popen[str]) -> None:
    while server.poll() is None:  # pytest's own timeout ends a server that is never ready
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.2)


def _placeholders(argv: list[str]) -> list[str]:
    """Put the newest run in the place of runs/NAME, and of RUN."""
    runs = sorted((path for path in Path("runs").glob("*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    if not runs:
        return argv
    return [re.sub(r"^(runs/NAME|RUN)(?=$|/)", str(runs[-1]), word) for word in argv]


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _redirected(argv: list[str]) -> Iterator[list[str]]:
    if ">" not in argv:
        yield argv
        return
    at = argv.index(">")
    with Path(argv[at + 1]).open("w", encoding="utf-8") as out, contextlib.redirect_stdout(out):
        yield argv[:at]


def _pip(argv: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in argv:
        for extras in re.findall(r"\[([\w,-]+)\]", word):
            missing = set(extras.split(",")) - set(project["optional-dependencies"])
            assert not missing, f"no such extra: {', '.join(missing)}"
    if "-c" in argv:
        assert (ROOT / argv[argv.index("-c") + 1]).is_file()


def _make(argv: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for word in argv:
        assert "=" in word or word in targets, f"no such target: make {word}"


def preload() -> None:
    """Import every verb once, so that the first page does not pay for all."""
    for module in VERBS.values():
        importlib.import_module(f"effnet.cli.{module}")
