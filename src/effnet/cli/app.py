"""The `effnet` command: its verbs, and how every failure becomes one line and an exit status.

Start-up is part of the interface (`effnet models` answers in under half a second), so nothing here or at the top
of a verb's module imports torch, numpy or rich tables.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from effnet.cli.warned import warnings_on_stderr
from effnet.errors import EffnetError

# verb -> module under effnet.cli; each module has a function of the verb's name, or a Typer named `app`.
VERBS: dict[str, str] = {
    "models": "models",
    "summary": "summary",
    "scale": "scale",
    "compare": "compare",
    "recommend": "recommend",
    "weights": "weights",
    "predict": "predict",
    "benchmark": "benchmark",
    "explain": "explain",
    "draw": "draw",
    "train": "train",
    "recipes": "recipes",
    "evaluate": "evaluate",
    "export": "export",
    "verify": "verify",
    "data": "data",
    "study": "study",
    "search": "search",
    "quantize": "quantize",
    "serve": "serve",
    "demo": "demo",
}


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"effnet {version('effnet')}")
        raise typer.Exit


def _build(verbs: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        name="effnet",
        help="EfficientNet: families, compound scaling, cost, weights, training, prediction and search.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def root(
        version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    ) -> None:
        pass

    for verb in verbs:
        module = importlib.import_module(f"effnet.cli.{VERBS[verb]}")
        group: Any = getattr(module, "app", None)
        if group is not None:
            app.add_typer(group, name=verb)
        else:
            app.command(name=verb)(getattr(module, verb))
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 on success, 1 on failure, 2 for a wrong request, 130 when interrupted."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    # A known verb needs only its own module; help and unknown verbs need all of them.
    verbs = [argv[0]] if argv and argv[0] in VERBS else list(VERBS)
    try:
        # What the library warns of, such as what it assumes of a file, is a line of its own in every verb.
        with warnings_on_stderr():
            status = _build(verbs)(args=argv, prog_name="effnet")
    except EffnetError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output (head, less) went away: not an error, but nothing more may be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    print(f"effnet: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(status)
