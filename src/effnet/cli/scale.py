"""`effnet scale`: compound scaling, one axis alone, or the largest network within a budget."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from typer import Argument, Option, echo

from effnet.errors import BudgetError, InputError

if TYPE_CHECKING:
    from effnet.budget import Budget
    from effnet.inference.latency import LatencyMeasurement
    from effnet.scaling import Coefficients
    from effnet.search.latency_table import LatencyTable
    from effnet.spec import NetworkSpec

_Found = TypeVar("_Found")

_LARGEST_FACTOR = 16.0


def scale(
    model: Annotated[
        str | None, Argument(help="The network to scale: a name, or a JSON file that --output wrote; default: b0.")
    ] = None,
    spec_file: Annotated[
        str | None, Option("--spec", metavar="FILE", help="The network to scale, as search wrote it; instead of MODEL.")
    ] = None,
    phi: Annotated[str | None, Option("--phi", help="0..7 (the default), 1.5, or a list such as 0,0.5,-1.")] = None,
    alpha: Annotated[float | None, Option("--alpha", help="Depth base; 1.2 if not given.")] = None,
    beta: Annotated[float | None, Option("--beta", help="Width base; 1.1 if not given.")] = None,
    gamma: Annotated[float | None, Option("--gamma", help="Resolution base; 1.15 if not given.")] = None,
    coefficients: Annotated[
        Path | None,
        Option("--coefficients", metavar="FILE", help='JSON with alpha, beta and gamma: {"alpha": 1.2, ...}'),
    ] = None,
    width: Annotated[str | None, Option("--width", help="Multiply channels, instead of --phi; lists as there.")] = None,
    depth: Annotated[str | None, Option("--depth", help="Multiply repeats, instead of --phi.")] = None,
    resolution: Annotated[str | None, Option("--resolution", help="Multiply the input side, instead of --phi.")] = None,
    round_limit: Annotated[
        float | None, Option("--round-limit", help="Share of channels that rounding keeps: V1 0.9, V2 0.")
    ] = None,
    max_params: Annotated[str | None, Option("--max-params", help="Budget: parameters, such as 10M.")] = None,
    max_macs: Annotated[str | None, Option("--max-macs", help="Budget: MACs for one image, such as 1G.")] = None,
    max_memory: Annotated[
        str | None, Option("--max-memory", help="Budget: weights and live tensors in inference, such as 64MB.")
    ] = None,
    max_latency_ms: Annotated[
        float | None, Option("--max-latency-ms", help="Budget: milliseconds a batch, measured here and now.")
    ] = None,
    batch: Annotated[int, Option("--batch", help="Images at once, for memory and latency.")] = 1,
    dtype: Annotated[str, Option("--dtype", help="For memory: float32, float16, bfloat16 or int8.")] = "float32",
    device: Annotated[str | None, Option("--device", help="Where latency is measured: cpu, cuda, mps.")] = None,
    threads: Annotated[int | None, Option("--threads", help="CPU threads while latency is measured.")] = None,
    latency_table: Annotated[
        Path | None, Option("--latency-table", metavar="FILE", help="Compute latency, as study latency measured it.")
    ] = None,
    spec_only: Annotated[bool, Option("--print-spec", help="Print the resulting specification as JSON.")] = False,
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="FILE", help="Write the resulting specification here.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Scale a network: along the compound curve (V1 equation 3), on one axis, or to the limits of a budget.

    With --phi, depth is alpha**phi, width beta**phi and resolution gamma**phi. With --max-... the largest network on
    the curve and the most accurate released one that keep every limit are named.
    """
    from effnet.cli.arguments import network

    axes = {"width": width, "depth": depth, "resolution": resolution}
    limits = {"params": max_params, "macs": max_macs, "memory": max_memory, "latency": max_latency_ms}
    bases = {"alpha": alpha, "beta": beta, "gamma": gamma}
    budgeted, axial = _given(limits), _given(axes)
    _refuse_together({"--phi": phi is not None, "a budget": budgeted, "--width, --depth, --resolution": axial})
    _refuse_together(
        {"--width, --depth, --resolution": axial, "coefficients": _given(bases) or coefficients is not None}
    )
    _refuse_together({"--coefficients": coefficients is not None, "--alpha, --beta, --gamma": _given(bases)})
    _refuse_together({"--print-spec": spec_only, "--json": as_json})
    if latency_table is not None and max_latency_ms is None:
        raise InputError("--latency-table without --max-latency-ms", fix="only latency is computed with a table")
    _refuse_together({"MODEL": model is not None, "--spec": spec_file is not None})
    _refuse_together(
        {"--latency-table": latency_table is not None, "--device, --threads": _given({"d": device, "t": threads})}
    )
    spec = _rounding(network(model or spec_file or "b0"), round_limit)
    if axial:
        answer = _axes(spec, axes)
    elif budgeted:
        clock: dict[str, Any] = {"device": device, "threads": threads}
        if latency_table is not None:
            clock = {"table": _table(latency_table, batch)}
        answer = _budget(spec, _bases(bases, coefficients), _limits(limits, batch, dtype), clock)
    else:
        answer = _compound(spec, _bases(bases, coefficients), "0..7" if phi is None else phi)
    if output is not None:
        _write(output, answer.only())
        echo(f"written  {output}", err=True)
    if spec_only:
        echo(answer.only().to_json())
    elif as_json:
        from effnet.cli.arguments import as_json as json_text

        echo(json_text(answer.data))
    else:
        from effnet.cli import terminal

        echo(terminal.wrapped(answer.text, terminal.width()))


class _Answer:
    """What one request gave: networks, and their description as data and as text."""

    def __init__(self, specs: list[NetworkSpec], data: dict[str, Any], text: str) -> None:
        self.specs, self.data, self.text = specs, data, text

    def only(self) -> NetworkSpec:
        """Return the one network, to print or write."""
        if len(self.specs) != 1:
            fix = "ask for one that exists, such as --phi 1.5"
            raise InputError(f"--print-spec and --output describe one network, not {len(self.specs)}", fix=fix)
        return self.specs[0]


def _compound(base: NetworkSpec, bases: Coefficients, phi: str) -> _Answer:
    from effnet.cli import scaled as report
    from effnet.cli.arguments import numbers
    from effnet.scaling import compound

    phis = numbers(phi, "--phi")
    specs = [compound(base, value, bases.alpha, bases.beta, bases.gamma) for value in phis]
    releases = report.released_rows(base, bases)
    rows = [report.scaled_row(spec, value) for spec, value in zip(specs, phis, strict=True)]
    rows = [report.with_nearest(row, releases) for row in rows]
    data = {"base": base.name, "coefficients": report.coefficients_row(bases), "points": rows, "released": releases}
    parts = [f"{base.name}: {report.coefficients_text(bases)}", report.scaled_table(rows)]
    if len(releases) > 1:
        parts += [report.released_table(releases), report.HAND_ROUNDED]
    return _Answer(specs, data, "\n\n".join(parts))


def _axes(base: NetworkSpec, axes: dict[str, str | None]) -> _Answer:
    from effnet.cli import scaled as report
    from effnet.cli.arguments import numbers
    from effnet.scaling import scale as scaled

    factors = {axis: numbers(text, f"--{axis}") for axis, text in axes.items() if text is not None}
    lists = [axis for axis, values in factors.items() if len(values) > 1]
    if len(lists) > 1:
        raise InputError(f"--{' and --'.join(lists)} both have several values", fix="vary one axis at a time")
    if any(value > _LARGEST_FACTOR for value in factors.get("resolution", [])):
        pixels = max(factors["resolution"])
        factor = f"for {pixels:g} pixels give --resolution {pixels / base.resolution:.4f}"
        raise InputError(f"--resolution {pixels:g} is a factor, not pixels", fix=factor)
    count = max(len(values) for values in factors.values())
    width, depth, resolution = ((factors.get(axis, [1.0]) * count)[:count] for axis in ("width", "depth", "resolution"))
    specs = [scaled(base, width=w, depth=d, resolution=r) for w, d, r in zip(width, depth, resolution, strict=True)]
    rows = [report.scaled_row(spec) for spec in specs]
    text = f"{base.name}, {' and '.join(factors)} only\n\n{report.scaled_table(rows)}"
    return _Answer(specs, {"base": base.name, "points": rows}, text)


def _budget(base: NetworkSpec, bases: Coefficients, budget: Budget, clock: dict[str, Any]) -> _Answer:
    from dataclasses import asdict

    from effnet.budget import fit, fit_published
    from effnet.cli import scaled as report

    latency = None
    if budget.max_latency_ms is not None:
        latency = clock.get("table")
        if latency is None:
            from effnet.inference.latency import stopwatch

            latency = stopwatch(batch=budget.batch, **clock, report=_show if sys.stderr.isatty() else None)
    elif _given(clock):
        raise InputError(
            "--device, --threads or --latency-table without --max-latency-ms", fix="only latency belongs to a device"
        )
    curve = _attempt(lambda: fit(budget, base, bases, latency=latency))
    release = _attempt(lambda: fit_published(budget, latency=latency))
    if isinstance(curve, BudgetError) and isinstance(release, BudgetError):
        raise curve
    data: dict[str, Any] = {"budget": asdict(budget), "coefficients": report.coefficients_row(bases)}
    lines, specs = [report.budget_text(budget)], []
    if isinstance(curve, BudgetError):
        data |= {"curve": None, "curve_error": str(curve)}
        lines.append(f"on the compound curve of {base.name}: {curve}")
    else:
        specs.append(curve.spec)
        data["curve"] = report.fit_row(curve)
        lines.append(report.fit_text(data["curve"]))
    if isinstance(release, BudgetError):
        data |= {"published": None, "published_error": str(release)}
        lines.append(f"released: {release}")
    else:
        data["published"] = report.published_row(release)
        lines.append(report.published_text(data["published"]))
    return _Answer(specs, data, "\n".join(lines))


def _attempt(search: Callable[[], _Found]) -> _Found | BudgetError:
    try:
        return search()
    except BudgetError as error:
        return error


def _show(spec: NetworkSpec, measured: LatencyMeasurement) -> None:
    echo(f"measured {spec.name} at {spec.resolution} px: {measured}", err=True)


def _given(options: Mapping[str, object]) -> bool:
    return any(value is not None for value in options.values())


def _refuse_together(options: dict[str, bool]) -> None:
    given = [name for name, present in options.items() if present]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are both given", fix="choose one")


def _rounding(spec: NetworkSpec, limit: float | None) -> NetworkSpec:
    from dataclasses import replace

    if limit is None:
        return spec
    if spec.origin is not None:
        base = spec.origin.base.name
        raise InputError(f"--round-limit for {spec.name}, already rounded from {base}", fix=f"scale {base} instead")
    return spec.replace(scaling=replace(spec.scaling, round_limit=limit))


def _bases(given: dict[str, float | None], file: Path | None) -> Coefficients:
    from effnet.scaling import Coefficients

    if file is None:
        return Coefficients(**{name: value for name, value in given.items() if value is not None})
    from effnet.cli.arguments import coefficients_file

    return coefficients_file(file)


def _table(file: Path, batch: int) -> LatencyTable:
    from effnet.cli.arguments import read_text
    from effnet.search.latency_table import LatencyTable

    try:
        table = LatencyTable.from_json(read_text(file))
    except InputError as error:
        raise InputError(error.what, where=str(file), fix=error.fix) from None
    if table.batch != batch:
        raise InputError(f"measured with batch {table.batch}, not {batch}", where=str(file), fix="measure it so")
    return table


def _limits(limits: dict[str, Any], batch: int, dtype: str) -> Budget:
    from effnet.budget import Budget
    from effnet.quantities import parse_bytes, parse_count

    params, macs, memory = limits["params"], limits["macs"], limits["memory"]
    return Budget(
        max_params=None if params is None else parse_count(params),
        max_macs=None if macs is None else parse_count(macs),
        max_memory_bytes=None if memory is None else parse_bytes(memory),
        max_latency_ms=limits["latency"],
        batch=batch,
        dtype=dtype,  # type: ignore[arg-type]  # cost refuses other dtypes
    )


def _write(path: Path, spec: NetworkSpec) -> None:
    from effnet.weights.atomic import atomic_write

    with atomic_write(path) as temp:
        temp.write_text(spec.to_json() + "\n", encoding="utf-8")
