"""A server of the tiny model: `python -m tests.deploy.server.tiny_server [--seconds S] [--set NAME=VALUE]...`."""

from __future__ import annotations

import argparse
import ast
import itertools
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from effnet.deploy.server.launch import Started, serve
from effnet.deploy.server.model import Logits, Pixels, ServedModel
from effnet.deploy.server.settings import ServerSettings
from effnet.errors import WeightsError
from tests.deploy.server.tiny_model import tiny


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--name-file", type=Path, help="holds the model's name; an empty file is a broken model")
    parser.add_argument("--stuck-after", type=int, help="batches after which the engine does not come back")
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    changes = {name: ast.literal_eval(value) for name, _, value in (text.partition("=") for text in given.set)}

    def load() -> ServedModel:
        name = given.name_file.read_text() if given.name_file else "tiny"
        if not name:
            raise WeightsError("is empty", where=str(given.name_file), fix="write a name")
        if name == "endless":
            threading.Event().wait()
        model = tiny(name, given.seconds)
        if given.stuck_after is not None and name == "tiny":
            batches, classify = itertools.count(), model.classifier.classify

            def stuck(pixels: Sequence[Pixels]) -> Logits:
                if next(batches) >= given.stuck_after:
                    threading.Event().wait()
                return classify(pixels)

            model.classifier.classify = stuck  # type: ignore[method-assign]
        return model

    def show(started: Started) -> None:
        sys.stderr.write(f"serving at {started.url}\n")  # one write: the log's thread writes too
        sys.stderr.flush()

    serve(load, ServerSettings(**{"port": 0, **changes}), started=show)


if __name__ == "__main__":
    main()
