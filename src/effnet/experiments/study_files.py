"""What the scaling studies leave in their folders: figures as JSON, the coefficients file, and the page."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

from PIL import Image

from effnet.cost import cost
from effnet.errors import MissingDependencyError
from effnet.experiments.axes_study import AxesResult, AxesStudy
from effnet.experiments.experiment_folder import ExperimentFolder
from effnet.experiments.scaling_study import ScalingResult
from effnet.report import axes_study, scaling_study
from effnet.report.axes_study import AxesReport, AxisRow, MapRow
from effnet.report.experiment_charts import AxisPoint
from effnet.report.scaling_study import CandidateRow, ScalingReport
from effnet.search.ranking import interval


def write_scaling(folder: ExperimentFolder, result: ScalingResult) -> None:
    """Write coefficients.json, results.json and report.html.

    Raises:
        StorageError: the folder cannot be written.
    """
    chosen = result.conclusion.chosen
    folder.write("coefficients.json", {"alpha": chosen.alpha, "beta": chosen.beta, "gamma": chosen.gamma})
    folder.write("results.json", {"plan": result.plan.to_dict(), **scaling_data(result)})
    _page(folder, lambda: scaling_study.render(_scaling_report(folder, result)))


def scaling_data(result: ScalingResult) -> dict[str, Any]:
    """Return the figures as plain JSON types."""
    conclusion = result.conclusion
    rows = [
        {
            **dataclasses.asdict(each.coefficients),
            "accuracies": list(each.accuracies),
            "mean": each.mean,
            "error": _known(error),
            "probability": probability,
            "not_worse": place in conclusion.equals,
            "macs": macs,
            "params": params,
        }
        for place, (each, error, probability, macs, params) in enumerate(
            zip(
                result.results,
                conclusion.errors,
                conclusion.probabilities,
                result.macs,
                result.params,
                strict=True,
            )
        )
    ]
    return {
        "chosen": dataclasses.asdict(conclusion.chosen),
        "ranges": {name: list(pair) for name, pair in conclusion.ranges.items()},
        "spread": conclusion.spread,
        "deviation": _known(conclusion.deviation),
        "candidates": rows,
        "base_macs": cost(result.plan.base).macs,
        "seconds": result.seconds,
    }


def scaling_summary(folder: ExperimentFolder, result: ScalingResult) -> tuple[dict[str, Any], str]:
    """Return what the command prints, as data and as text."""
    conclusion, file = result.conclusion, folder.path / "coefficients.json"
    chosen = conclusion.chosen
    data = {"run": str(folder.path), "coefficients": str(file), **scaling_data(result)}
    lines = []
    for name in ("alpha", "beta", "gamma"):
        low, high = conclusion.ranges[name]
        lines.append(f"{name:<6} {getattr(chosen, name):g}  ({low:g} to {high:g} cannot be told from it at 95 %)")
    best = max(conclusion.probabilities)
    equals = f"{len(conclusion.equals)} of {len(result.results)} candidates are not worse"
    lines.append(f"{equals}; the likeliest has {100 * best:.0f} %")
    lines += [f"report {_report(folder)}", f"use it effnet scale --coefficients {file} --phi 0..3"]
    return data, "\n".join(lines)


def write_axes(folder: ExperimentFolder, study: AxesStudy, result: AxesResult) -> None:
    """Write results.json and report.html, with the maps of the networks that were trained here.

    Raises:
        StorageError: the folder cannot be written.
    """
    folder.write("results.json", {"plan": result.plan.to_dict(), **axes_data(result)})
    _page(folder, lambda: axes_study.render(_axes_report(study, result)))


def axes_data(result: AxesResult) -> dict[str, Any]:
    """Return the figures as plain JSON types."""
    rows = []
    for network, accuracies in zip(result.networks, result.accuracies, strict=True):
        mean, half = interval(accuracies) if accuracies else (None, None)
        rows.append(
            {
                "axis": network.axis,
                "multiple": network.multiple,
                "depth": network.depth,
                "width": network.width,
                "resolution": network.resolution,
                "side": network.spec.resolution,
                "macs": network.macs,
                "params": network.params,
                "accuracies": list(accuracies),
                "mean": mean,
                "half_width_95": _known(half),
                "spec": json.loads(network.spec.to_json()),
            }
        )
    return {"networks": rows, "worst_mismatch": result.axes.worst_mismatch, "seconds": result.seconds}


def axes_summary(folder: ExperimentFolder, result: AxesResult) -> tuple[dict[str, Any], str]:
    """Return what the command prints, as data and as text."""
    lines = [f"{'scaled':<11} {'MACs':>8} {'px':>4} {'top-1 %':>8}  +- 95 %"]
    for network, accuracies in zip(result.networks, result.accuracies, strict=True):
        if not accuracies:
            continue
        mean, half = interval(accuracies)
        shown = f"{half:.2f}" if _known(half) is not None else ""
        macs = f"{network.macs / 1e6:.2f}M"
        lines.append(f"{network.axis:<11} {macs:>8} {network.spec.resolution:>4} {mean:>8.2f}  {shown}")
    if result.plan.seeds > 1:
        lines.append(axes_study.verdict(_figures(result)))
    lines.append(f"report {_report(folder)}")
    return {"run": str(folder.path), **axes_data(result)}, "\n".join(lines)


def _scaling_report(folder: ExperimentFolder, result: ScalingResult) -> ScalingReport:
    conclusion, base = result.conclusion, cost(result.plan.base).macs
    rows = [
        CandidateRow(
            alpha=each.coefficients.alpha,
            beta=each.coefficients.beta,
            gamma=each.coefficients.gamma,
            ratio=macs / base,
            params=params,
            accuracies=each.accuracies,
            mean=each.mean,
            error=conclusion.errors[place],
            probability=conclusion.probabilities[place],
            equal=place in conclusion.equals,
        )
        for place, (each, macs, params) in enumerate(zip(result.results, result.macs, result.params, strict=True))
    ]
    chosen = next(i for i, each in enumerate(result.results) if each.coefficients == conclusion.chosen)
    return ScalingReport(
        data=result.plan.data,
        base=result.plan.base.name,
        rows=rows,
        chosen=chosen,
        ranges=conclusion.ranges,
        spread=conclusion.spread,
        deviation=conclusion.deviation,
        epochs=result.plan.recipe.epochs,
        seeds=result.plan.seeds,
        seconds=result.seconds,
        command=f"effnet scale --coefficients {folder.path / 'coefficients.json'} --phi 0..3",
    )


def _axes_report(study: AxesStudy, result: AxesResult) -> AxesReport:
    maps = [
        MapRow(
            truth=truth,
            image=_jpeg(image),
            maps=[(m.network.axis, _jpeg(m.picture), f"{m.answer} {100 * m.probability:.0f} %") for m in activations],
        )
        for image, truth, activations in study.activations()
        if activations
    ]
    return dataclasses.replace(_figures(result), maps=maps)


def _figures(result: AxesResult) -> AxesReport:
    rows = []
    for network, accuracies in zip(result.networks, result.accuracies, strict=True):
        if not accuracies:
            continue
        mean, half = interval(accuracies)
        point = AxisPoint(axis=network.axis, macs=network.macs, accuracies=accuracies, mean=mean, half=half)
        rows.append(
            AxisRow(
                point=point,
                depth=network.depth,
                width=network.width,
                resolution=network.resolution,
                side=network.spec.resolution,
                params=network.params,
            )
        )
    plan = result.plan
    return AxesReport(
        data=plan.data,
        base=plan.base.name,
        rows=rows,
        maps=(),
        mismatch=result.axes.worst_mismatch,
        tolerance=plan.tolerance,
        epochs=plan.recipe.epochs,
        seeds=plan.seeds,
        seconds=result.seconds,
    )


def _page(folder: ExperimentFolder, made: Any) -> None:
    try:
        folder.write_text("report.html", made())
    except MissingDependencyError:
        return  # the figures are in results.json


def _report(folder: ExperimentFolder) -> str:
    return str(folder.report) if folder.report.exists() else "none: pip install 'effnet[search]' draws one"


def _jpeg(image: Image.Image) -> bytes:
    side = 256
    file = io.BytesIO()
    enlarged = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    enlarged.save(file, "JPEG", quality=88)
    return file.getvalue()


def _known(value: float | None) -> float | None:
    """Return None for what JSON cannot say: an interval from one seed is infinite."""
    return None if value is None or value == float("inf") else value
