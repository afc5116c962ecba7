"""`effnet weights`: what is published, what a file holds, converting between layouts, checking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from effnet.errors import InputError, UnknownNameError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from effnet.weights.loading import LoadedWeights, Progress
    from effnet.weights.published import PublishedWeights

app = typer.Typer(no_args_is_help=True, help="List, inspect, convert and check weights.", rich_markup_mode=None)

_JSON = typer.Option(False, "--json", help="Print JSON.")
_VARIANT = typer.Option(None, "--variant", help="The network, when the file does not tell.")


@app.command("list")
def list_(
    pattern: str = typer.Argument("", help="Part of a tag or a variant's name."),
    as_json: bool = _JSON,
) -> None:
    """Every published set of weights: where it is, its licence and accuracy, and whether it is here already."""
    from effnet.cli.terminal import width
    from effnet.report.tables import text_table
    from effnet.weights import published, store

    wanted = pattern.lower().replace("-", "_")
    found = [w for v in published.published() for w in v.weights if wanted in w.tag.lower() or wanted in v.name]
    if not found:
        raise UnknownNameError.among("weights", pattern, [w.tag for v in published.published() for w in v.weights])
    defaults = {published.default(v.name).tag for v in published.published()}
    rows = [_row(w, w.tag in defaults, store.is_here(w)) for w in found]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    columns = ("tag", "source", "top1", "resolution", "licence", "default", "here")
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    spare = ("here", "source", "licence")
    typer.echo(text_table(columns, cells, left=2, width=width(), spare=spare))


@app.command()
def info(
    source: str = typer.Argument(help="A published tag, a variant's name, or a file."), as_json: bool = _JSON
) -> None:
    """What a published set of weights or a file is."""
    from effnet.weights.beside import weights_in
    from effnet.weights.loading import is_file_name

    place = weights_in(source)
    facts = _file_facts(Path(place)) if is_file_name(place) else _tag_facts(source)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {_cell(value)}")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A published tag or a file of any layout.")],
    target: Annotated[Path, typer.Argument(help="The file to write: .safetensors, .pth or .h5.")],
    to: str = typer.Option("effnet", "--to", help="effnet, torchvision, timm, lukemelas or keras."),
    variant: str | None = _VARIANT,
) -> None:
    """Write weights in another layout; `--to effnet` writes a model file with spec, preprocessing and labels."""
    from effnet.weights.writing import write

    if target.resolve() == Path(source).resolve():
        raise InputError("would overwrite its source", where=str(target), fix="give another file to write")
    loaded = _load(source, variant)
    written = write(target, loaded, to)
    typer.echo(f"{written}: {loaded.spec.name}, {loaded.spec.classes} classes, {to} layout")


@app.command()
def verify(source: str = typer.Argument(help="A published tag or a file."), variant: str | None = _VARIANT) -> None:
    """Check that weights are whole: digest, layout, names, shapes and finite values. Exit code 1 if not."""
    from effnet.weights import store
    from effnet.weights.loading import is_file_name

    checks = ["names and shapes", "finite values"]
    if not is_file_name(source):
        from effnet.weights import published

        weights = published.find(source)
        store.fetch(weights, progress=None, offline=True)
        store.verify(weights)
        checks.insert(0, "digest" if weights.sha256 or weights.md5 else "digest recorded on arrival")
    loaded = _load(source, variant)
    broken = [name for name, tensor in loaded.state.items() if not tensor.isfinite().all()]
    if broken:
        what = f"{len(broken)} tensors have values that are not finite ({', '.join(broken[:3])})"
        raise WeightsError(what, where=source, fix="get the file again, or an earlier checkpoint")
    typer.echo(f"{source}: good ({', '.join(checks)}); {loaded.spec.name}, {loaded.spec.classes} classes")


def _load(source: str, variant: str | None) -> LoadedWeights:
    from effnet.families import find
    from effnet.weights.loading import load_weights

    # A tag is a name too: its part before the dot is the network.
    spec = find(variant.removeprefix("timm/").partition(".")[0]) if variant else None
    with _progress() as progress:
        return load_weights(spec, source, progress=progress, named=variant)


def _progress() -> AbstractContextManager[Progress | None]:
    """Return a context that gives a download's progress callback: a bar on a terminal, nothing elsewhere."""
    import contextlib
    import sys

    @contextlib.contextmanager
    def bar() -> Iterator[Progress | None]:
        if not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn
        from rich.progress import Progress as Bar

        columns = ("downloading", BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task("download", total=None, visible=False)

            def report(done: int, total: int | None) -> None:
                shown.update(task, completed=done, total=total, visible=True)

            yield report

    return bar()


def _row(weights: PublishedWeights, is_default: bool, here: bool) -> dict[str, Any]:
    return {
        "tag": weights.tag,
        "variant": weights.variant,
        "source": weights.source,
        "recipe": weights.recipe,
        "top1": weights.top1,
        "resolution": weights.resolution,
        "classes": weights.classes,
        "licence": weights.licence,
        "size": weights.size,
        "default": is_default,
        "here": here,
    }


def _tag_facts(tag: str) -> dict[str, Any]:
    from effnet.weights import published, store

    weights = published.find(tag)
    default = published.default(weights.variant).tag == weights.tag
    here = store.is_here(weights)
    return {
        **_row(weights, default, here),
        "where": weights.url or weights.hub or f"package {weights.package}",
        "file": str(store.path_of(weights)) if here else weights.file,
        "sha256": weights.sha256,
        "md5": weights.md5,
        "layout": weights.layout,
        "padding": weights.padding,
        "norm_eps": weights.norm_eps,
        "preprocess": weights.preprocess.describe(),
        "temperature": weights.temperature,
        "calibration": _calibration(weights),
        "accuracy": [f"top-1 {a.top1} % at {a.resolution} px ({a.recipe}; {a.source})" for a in weights.accuracy],
        "caveats": weights.caveats,
    }


def _calibration(weights: PublishedWeights) -> str | None:
    found = weights.calibration
    if found is None:
        return None
    return f"calibration error {found.ece_before} % to {found.ece_after} %: {found.source}"


def _file_facts(path: Path) -> dict[str, Any]:
    from effnet.weights import layouts, modelfile
    from effnet.weights.reading import read

    file = read(path)
    facts: dict[str, Any] = {
        "file": str(path),
        "format": file.format,
        "tensors": len(file.tensors),
        "parameters": sum(t.numel() for n, t in file.tensors.items() if "running_" not in n and t.is_floating_point()),
    }
    if modelfile.is_model(file):
        model = modelfile.from_file(file, where=str(path))
        return facts | {
            "layout": "effnet",
            "network": model.spec.name,
            "classes": model.spec.classes,
            "preprocess": model.preprocess.describe(),
            "temperature": model.temperature,
            "labels": "none" if model.labels is None else f"{len(model.labels)} ({', '.join(model.labels[:3])}, ...)",
            "metrics": dict(model.metrics),
            "provenance": dict(model.provenance),
        }
    from effnet.weights.loading import load_weights

    layout = layouts.detect(file.tensors)
    fits = list(layouts.recognise(file.tensors, layout))
    facts |= {"layout": layout, "fits": fits}
    if not fits:
        return facts
    loaded = load_weights(None, path)
    return facts | {
        "classes": loaded.spec.classes,
        "padding": loaded.spec.conventions.padding,
        "norm_eps": loaded.spec.conventions.norm_eps,
        "preprocess": loaded.preprocess.describe(),
        "labels": "none" if loaded.labels is None else f"{len(loaded.labels)} ({', '.join(loaded.labels[:3])}, ...)",
        "assumed": loaded.provenance.get("assumed"),
    }


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value)) or "-"
    return str(value)
