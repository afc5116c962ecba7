"""`effnet predict`: what is on these images?"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from effnet.cli.interrupts import Interrupts
from effnet.cli.warned import complain, warnings_on_stderr
from effnet.errors import InputError

if TYPE_CHECKING:
    from effnet.data.source import Remark
    from effnet.inference.prediction import Prediction

STDIN = "-"


def predict(
    model: Annotated[
        str, Argument(help="A name (lite0), a tag of `effnet weights list`, a model file, a bundle or a run.")
    ],
    paths: Annotated[
        list[str] | None,
        Argument(metavar="[PATH]...", help="Image files, folders, glob patterns, or - for an image on stdin."),
    ] = None,
    from_file: Annotated[
        str | None, Option("--from-file", metavar="FILE", help="Also the paths in this file, one a line (- is stdin).")
    ] = None,
    top: Annotated[int, Option("--top", "-k", min=1, help="How many classes to name for each image.")] = 5,
    as_json: Annotated[bool, Option("--json", help="Print a JSON list with one object for each image.")] = False,
    as_csv: Annotated[bool, Option("--csv", help="Print CSV with one row for each image and class.")] = False,
    output: Annotated[
        Path | None, Option("--output", "-o", help="Write to this file; .json and .csv choose the format.")
    ] = None,
    size: Annotated[int | None, Option("--size", min=1, help="Input side in pixels, if not the weights' own.")] = None,
    flip: Annotated[
        bool, Option("--flip", help="Average each image's answer with its mirror image's (twice the time).")
    ] = False,
    classes: Annotated[
        str | None, Option("--classes", metavar="FILE|NAMES", help="Names of the outputs in order: a file, or a,b,c.")
    ] = None,
    batch: Annotated[int | None, Option("--batch", min=1, help="Images the network sees at once.")] = None,
    device: Annotated[str | None, Option("--device", help="cpu, cuda, cuda:1, mps; else the fastest there is.")] = None,
    threads: Annotated[int | None, Option("--threads", min=1, help="CPU threads of the network.")] = None,
    engine: Annotated[str, Option("--engine", help="What runs a bundle: onnxruntime, openvino, ...")] = "auto",
) -> None:
    """Classify images and print the most probable classes.

    Folders are searched at any depth for images, known by their names or their content. One that cannot be read, be it
    damaged or of a format that is not read, is reported on standard error and skipped; JSON and CSV keep its place with
    the reason. Exit status: 0 when every image was classified, 1 when one or more could not be, 2 for a wrong request
    (nothing there, no such model).
    """
    if as_json and as_csv:
        raise InputError("--json and --csv are both given", fix="choose one")
    names, sources = _sources(paths or [], from_file)

    from effnet.deploy.loading import load
    from effnet.weights.progress_bar import download_bar

    with warnings_on_stderr(), download_bar() as progress:
        predictor = load(
            model,
            device=device,
            threads=threads,
            batch=batch,
            size=size,
            top=top,
            engine=engine,
            flip=flip,
            progress=progress,
        )
    if classes is not None:
        from effnet.labels import named_outputs

        predictor.labels = named_outputs(classes, predictor.spec.classes)
    if predictor.preprocess.white is None:
        _say_used_range(sources)
    write = _writer(as_json, as_csv, output)
    interrupts = Interrupts()
    tally = _Tally(interrupts)
    shown = output is not None or not sys.stdout.isatty()  # else the results themselves show the progress
    with _destination(output) as out, _bar(len(names), shown=shown) as advance, interrupts:
        write(tally.of(names, predictor.predict_iter(sources), advance), out)
    if tally.failed:
        complain(f"{tally.failed} of {len(names)} images could not be read")
        raise Exit(1)


@dataclasses.dataclass(slots=True)
class _Tally:
    """Names, reports and counts predictions as they pass; between two of them the work may be interrupted."""

    interrupts: Interrupts
    failed: int = 0

    def of(
        self, names: Sequence[str], predictions: Iterable[Prediction], advance: Callable[[], None]
    ) -> Iterator[Prediction]:
        for name, prediction in zip(names, predictions, strict=True):
            error = prediction.error
            if error is not None:
                self.failed += 1
                if prediction.source is None:
                    error = type(error)(error.what, where=name, fix=error.fix)
                complain(str(error))
            yield dataclasses.replace(prediction, source=name, error=error)
            advance()
            self.interrupts.obey()


def _sources(paths: Sequence[str], from_file: str | None) -> tuple[list[str], list[str | bytes]]:
    """Return the names to show and, for each, what to read."""
    from effnet.inference.sources import expand, read_list

    if [*paths, from_file].count(STDIN) > 1:
        raise InputError("standard input is asked for twice", where=STDIN, fix="use - once")
    names: list[str] = []
    sources: list[str | bytes] = []
    for path in paths:
        found = [path] if path == STDIN else expand([path], foreign=True, remark=_left_out)
        names += found
        sources += [sys.stdin.buffer.read()] if path == STDIN else found
    if from_file is not None:
        listed = read_list(_content(from_file))
        names += listed
        sources += listed
    if not names:
        raise InputError("no images given", fix="name image files, folders or patterns, or - for standard input")
    return names, sources


def _say_used_range(sources: Sequence[str | bytes]) -> None:
    """Warn where images of 16 bits are nearly black, as 12 bits in 16 are."""
    from effnet.data.preflight import used_ranges_of

    # A pipe can be read once only.
    given = [s if isinstance(s, bytes) else Path(s) for s in sources if isinstance(s, bytes) or Path(s).is_file()]
    for remark in used_ranges_of(len(given), given.__getitem__):
        if remark.severity != "note":
            complain(f"{remark.severity}: {remark.what} (fix: {remark.fix})")


def _left_out(folder: str, remark: Remark) -> None:
    complain(f"{folder}: {remark.what}")


def _content(path: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path, fix="check the path") from None


def _writer(as_json: bool, as_csv: bool, output: Path | None) -> Callable[[Iterable[Prediction], IO[str]], None]:
    from effnet.inference.rendering import write_csv, write_json, write_text

    ending = output.suffix.lower() if output is not None else ""
    if as_json or (ending == ".json" and not as_csv):
        return write_json
    return write_csv if as_csv or ending == ".csv" else write_text


@contextlib.contextmanager
def _destination(output: Path | None) -> Iterator[IO[str]]:
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # names that are not UTF-8 pass through
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
        yield sys.stdout
        return
    from effnet.inference.rendering import open_text
    from effnet.weights.atomic import atomic_write

    with atomic_write(output) as temporary, open_text(temporary) as out:
        yield out


@contextlib.contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    if not (shown and sys.stderr.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as progress:
        task = progress.add_task("classifying", total=total)
        yield lambda: progress.advance(task)
