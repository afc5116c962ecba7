"""`effnet models`: every published network, what it costs and what it scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, echo

from effnet.errors import UnknownNameError

if TYPE_CHECKING:
    from effnet.spec import NetworkSpec

SORTABLE = ("name", "params", "macs", "activations", "resolution", "top1")


def models(
    pattern: Annotated[
        str | None, Argument(help="Part of a name, or a pattern with * and ?, such as b* or 'efficientnetv2_?'.")
    ] = None,
    family: Annotated[str | None, Option("--family", help="Only this family, such as efficientnet-v2.")] = None,
    sort: Annotated[str | None, Option("--sort", help=f"By {', '.join(SORTABLE)}; the best top-1 comes first.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print a JSON list with one object for each network.")] = False,
) -> None:
    """List the published networks: parameters, MACs, native sizes, published top-1 and weights.

    Parameters and MACs are exact counts, MACs and activations at the evaluation size. Top-1 is what the publisher of
    the default weights measured on ImageNet-1k, at the size shown; --json has every published figure.
    """
    from effnet.families import find, names

    specs = [find(name) for name in names()]
    if pattern is not None:
        specs = _matching(specs, pattern)
    if family is not None:
        specs = _of_family(specs, family)
    rows = [_row(spec) for spec in specs]
    if sort is not None:
        rows = _sorted(rows, sort)
    if as_json:
        from effnet.cli.arguments import as_json as json_text

        echo(json_text(rows))
    else:
        echo(_table(rows))


def _of_family(specs: list[NetworkSpec], family: str) -> list[NetworkSpec]:
    from effnet.families import find, names

    known = list(dict.fromkeys(find(name).family for name in names()))
    found = [spec for spec in specs if spec.family == family.lower()]
    if not found and family.lower() in known:
        raise UnknownNameError(f"nothing of that name is in the family {family}", fix="leave out --family")
    if not found:
        raise UnknownNameError.among("family", family, known, see=f"known: {', '.join(known)}")
    return found


def _matching(specs: list[NetworkSpec], pattern: str) -> list[NetworkSpec]:
    import fnmatch

    from effnet.families import catalog

    wanted = pattern.lower().replace("-", "_")
    wild = any(letter in wanted for letter in "*?[")
    short = {spec.name: spec.name.removeprefix("efficientnet").lstrip("_") for spec in specs}
    found = [
        spec
        for spec in specs
        if (wild and any(fnmatch.fnmatchcase(name, wanted) for name in (spec.name, short[spec.name])))
        or (not wild and wanted in spec.name)
    ]
    if not found:  # perhaps another library's spelling of one of them
        canonical = catalog.canonical(pattern)
        found = [spec for spec in specs if spec.name == canonical]
    return found


def _row(spec: NetworkSpec) -> dict[str, Any]:
    from dataclasses import asdict

    from effnet.cost import cost
    from effnet.weights.published import published

    counted, variant = cost(spec), published(spec.name)
    best = variant.default.accuracy[0] if variant.default.accuracy else None
    return {
        "name": spec.name,
        "family": spec.family,
        "params": counted.params,
        "macs": counted.macs,
        "activations": counted.activations,
        "train_resolution": spec.train_resolution,
        "eval_resolution": spec.resolution,
        "width": spec.origin.width if spec.origin else 1.0,
        "depth": spec.origin.depth if spec.origin else 1.0,
        "blocks": spec.blocks,
        "top1": best.top1 if best else None,
        "top5": best.top5 if best else None,
        "top1_resolution": best.resolution if best else None,
        "top1_recipe": best.recipe if best else None,
        "top1_source": best.source if best else None,
        "default_weights": variant.default_tag,
        "temperature": variant.default.temperature,
        "calibration": None if variant.default.calibration is None else asdict(variant.default.calibration),
        "weights": [weights.tag for weights in variant.weights],
        "published": [asdict(row) for row in variant.accuracy],
        "published_params": variant.params_text,
        "published_flops": variant.flops_text,
        "notes": list(variant.notes),
    }


def _sorted(rows: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    if sort not in SORTABLE:
        raise UnknownNameError.among("order", sort, SORTABLE, see=f"known: {', '.join(SORTABLE)}")
    if sort == "top1":
        return sorted(rows, key=lambda row: -(row["top1"] or 0))
    field = {"resolution": "eval_resolution"}.get(sort, sort)
    return sorted(rows, key=lambda row: row[field])


def _table(rows: list[dict[str, Any]]) -> str:
    from effnet.cli.terminal import width
    from effnet.quantities import billions, millions
    from effnet.report.tables import text_table

    cells = [
        (
            row["name"],
            row["default_weights"].partition(".")[2],
            millions(row["params"]),
            billions(row["macs"]),
            millions(row["activations"]),
            f"{row['train_resolution']} / {row['eval_resolution']}",
            f"{row['top1']:.1f} @ {row['top1_resolution']}" if row["top1"] else "-",
            str(len(row["weights"])),
        )
        for row in rows
    ]
    headers = ("name", "default weights", "params", "MACs", "activations", "train / eval px", "top-1 @ px", "weights")
    spare = ("activations", "weights", "train / eval px", "default weights")
    return text_table(headers, cells, left=2, width=width(), spare=spare)
