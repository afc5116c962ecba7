"""`effnet compare`: networks side by side, and the papers' figures redrawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from typer import Argument, Option, echo

from effnet.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from effnet.comparison.compare import Axis, Comparison
    from effnet.comparison.subject import Measure


def compare(
    networks: Annotated[
        list[str] | None,
        Argument(
            metavar="[NAME|FILE]...",
            help="Names (b0), patterns ('b?' 'resnet*' 'swin*'), tags of weights, spec files, trained model files; "
            "default: everything published.",
        ),
    ] = None,
    figure: Annotated[
        str | None,
        Option("--figure", help="Redraw a paper's: v1-figure-1, v1-figure-5, v2-figure-1, later-params, later-macs."),
    ] = None,
    tables: Annotated[
        bool, Option("--tables", help="The papers' tables: B0-B7 with phi, V2-S/M/L, printed top-1 beside ours.")
    ] = False,
    resolution: Annotated[int | None, Option("--resolution", help="Input side in pixels for all.")] = None,
    measure: Annotated[bool, Option("--measure", help="Latency, throughput and memory, here and now.")] = False,
    batch: Annotated[int, Option("--batch", help="Images at once, for the throughput.")] = 8,
    rounds: Annotated[int, Option("--rounds", help="Rounds of measuring, in each of which every network runs.")] = 12,
    threads: Annotated[int | None, Option("--threads", help="CPU threads while measuring.")] = None,
    device: Annotated[str | None, Option("--device", help="Where to measure: cpu, cuda, mps.")] = None,
    chart: Annotated[Path | None, Option("--chart", metavar="FILE.svg|png", help="Accuracy against a cost.")] = None,
    x: Annotated[
        str | None, Option("--x", help="The cost of --chart: params, macs, latency; default: latency if measured.")
    ] = None,
    html: Annotated[Path | None, Option("--html", metavar="FILE", help="All charts and tables as one page.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare networks: parameters, MACs, activations, size, published accuracy, and what they take on this device.

    MACs are at the size at which the accuracy was published. Nothing but --measure loads torch.
    """
    kind = _kind(chart)
    others = {"NAME|FILE": bool(networks), "--measure": measure, "--resolution": resolution, "--x": x}
    if tables:
        _alone("--tables", {**others, "--figure": figure, "--chart": chart, "--html": html})
        _tables(as_json)
        return
    if figure is not None:
        _alone("--figure", others)
        _figure(figure, chart, kind, html, as_json)
        return
    from effnet.deploy.comparing import compare as compared

    axis = _axis(x, measure)
    watch = _measurer(batch, rounds, threads, device) if measure else None
    comparison = compared(*map(_of_run, networks or ()), resolution=resolution, measure=watch)
    _write(comparison, axis, chart, kind, html)
    if as_json:
        from effnet.cli.arguments import as_json as json_text

        echo(json_text(comparison.to_dict()))
        return
    from effnet.cli.terminal import width, wrapped
    from effnet.report.comparison import text

    echo(wrapped(text(comparison, width()), width()))
    _tell(chart, html)


def _of_run(network: str) -> str:
    from effnet.weights.run_model import model_of_run

    return str(model_of_run(network))


def _alone(option: str, others: dict[str, Any]) -> None:
    for other, given in others.items():
        if given:
            raise InputError(f"{other} and {option} are both given", where=option, fix="leave one out")


def _tables(as_json: bool) -> None:
    from dataclasses import asdict

    from effnet.comparison.paper_tables import NOTES, v1_table, v2_table
    from effnet.report.comparison import tables_text

    first, second = v1_table(), v2_table()
    if as_json:
        from effnet.cli.arguments import as_json as json_text

        echo(json_text({"v1": [asdict(row) for row in first], "v2": [asdict(row) for row in second], "notes": NOTES}))
        return
    echo(tables_text(first, second))


def _figure(name: str, chart: Path | None, kind: Literal["png", "svg"], html: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from effnet.comparison.figures import figure
    from effnet.report import comparison as report
    from effnet.weights.atomic import atomic_write

    wanted = figure(name)
    if chart is not None:
        drawn = report.figure_chart(wanted, kind=kind)
        with atomic_write(chart) as temp:
            temp.write_bytes(drawn)
    if html is not None:
        with atomic_write(html) as temp:
            temp.write_text(report.figure_page(wanted), "utf-8")
    if as_json:
        from effnet.cli.arguments import as_json as json_text

        echo(json_text(asdict(wanted)))
        return
    echo(report.figure_text(wanted))
    _tell(chart, html)


def _write(
    comparison: Comparison, axis: Axis, chart: Path | None, kind: Literal["png", "svg"], html: Path | None
) -> None:
    from effnet.report import comparison as report
    from effnet.weights.atomic import atomic_write

    if chart is not None:
        drawn = report.chart(comparison, axis, kind=kind)
        with atomic_write(chart) as temp:
            temp.write_bytes(drawn)
    if html is not None:
        page = report.page_of(comparison)
        with atomic_write(html) as temp:
            temp.write_text(page, "utf-8", "surrogateescape")


def _tell(chart: Path | None, html: Path | None) -> None:
    for name, path in (("chart", chart), ("page", html)):
        if path is not None:
            echo(f"{name:<6} {path}")


def _kind(chart: Path | None) -> Literal["png", "svg"]:
    kind = "svg" if chart is None else chart.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise InputError("not a kind of picture this draws", where=str(chart), fix="end its name in .png or .svg")
    return cast(Literal["png", "svg"], kind)


def _axis(x: str | None, measure: bool) -> Axis:
    if x is None:
        return "latency" if measure else "macs"
    if x not in ("params", "macs", "latency"):
        raise UnknownNameError.among("cost", x, ("params", "macs", "latency"), see="known: params, macs, latency")
    if x == "latency" and not measure:
        raise InputError("latency is measured, not known", where="--x", fix="add --measure")
    return cast("Axis", x)


def _measurer(batch: int, rounds: int, threads: int | None, device: str | None) -> Measure:
    from effnet.cli.progress import counted_bar
    from effnet.deploy.comparing import bundle_runner
    from effnet.inference.comparing import measurer

    settings: dict[str, Any] = {
        "bundles": bundle_runner,
        "batch": batch,
        "rounds": rounds,
        "threads": threads,
        "device": device,
    }

    def measured(subjects: Any) -> Any:
        with counted_bar("measuring") as progress:
            return measurer(**settings, progress=progress)(subjects)

    return measured
