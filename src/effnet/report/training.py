"""The page of a training run, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from effnet.report.evaluation import Mistake, sections
from effnet.report.html import beside, drawing, heading, note, page, section, table
from effnet.report.training_charts import curve_panels, schedule_panels


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """One stage of a run.

    Attributes:
        settings: image size, regularisers and batch, by name.
        first_epoch: where it begins, in epochs.
        seconds, images: that its steps took and saw.
    """

    settings: Mapping[str, float]
    first_epoch: float
    seconds: float
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """Everything that the page shows.

    Attributes:
        decisions: (setting, value, reason).
        steps: (epoch, loss, rate).
        evaluations: (epoch, loss, top-1 in percent).
        waited: share of the step time in which the loader was waited for, 0 to 1.
        figures: of the best network, as `Evaluation.to_dict` gives them; None without validation images.
        recipe: as a table of text.
        outcome: (name, text) of what is to be known of the best network first.
        remarks: sentences that explain the shape of the curves.
    """

    title: str
    model: str
    data: str
    epochs: float
    seconds: float
    decisions: Sequence[tuple[str, str, str]]
    steps: Sequence[tuple[float, float, float]]
    evaluations: Sequence[tuple[float, float, float]]
    stages: Sequence[StageReport]
    waited: float
    figures: Mapping[str, Any] | None
    mistakes: Sequence[Mistake] = ()
    skipped: Sequence[str] = ()
    command: str = ""
    recipe: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    outcome: Sequence[tuple[str, str]] = ()
    remarks: Sequence[str] = ()


def render(report: TrainingReport) -> str:
    """Return the page, self-contained.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    parts = [_facts(report)]
    if report.steps:
        charts = [drawing(chart, title) for title, chart in curve_panels(report.steps, report.evaluations)]
        said = [note(remark) for remark in report.remarks]
        parts.append(section("How it went", beside(*charts), *said))
    parts.append(_stages(report))
    if report.figures is not None:
        parts += sections(report.figures, report.mistakes, on="the validation part, by the best network")
        text = "The same images chose the best epoch, so the figures are a little flattered; a test part is not."
        parts.append(note(text))
    if report.skipped:
        names = ", ".join(report.skipped[:20])
        parts.append(section("Images that could not be read", note(f"{len(report.skipped)}: {names}")))
    parts.append(_repeat(report))
    return page(report.title, parts, subtitle=f"{report.model} on {report.data}")


def saved_share(stages: Sequence[StageReport]) -> float | None:
    """Return the share of training time that smaller early stages saved, 0 to 1; None with one stage.

    The comparison is with every image of the run at the seconds an image took in the last stage.
    """
    if len(stages) < 2 or not stages[-1].images or not stages[-1].seconds:
        return None
    whole = stages[-1].seconds / stages[-1].images * sum(stage.images for stage in stages)
    return 1 - sum(stage.seconds for stage in stages) / whole


def _facts(report: TrainingReport) -> str:
    rows = [
        *([name, text] for name, text in report.outcome),
        ["trained", f"{report.epochs:g} epochs in {duration_text(report.seconds)}"],
        ["waited for images", f"{100 * report.waited:.1f} % of the time"],
    ]
    parts = [table(["", ""], rows, text=(1,))]
    if report.decisions:
        parts.append(heading("Decided for you"))
        parts.append(table(["decided", "value", "because"], [list(row) for row in report.decisions], text=(1, 2)))
    return section("In short", *parts)


def _stages(report: TrainingReport) -> str:
    edges = [*(stage.first_epoch for stage in report.stages), report.epochs]
    rows = [
        [
            str(number + 1),
            f"{stage.settings['image_size']:.0f} px",
            f"{stage.settings['batch']:.0f}",
            duration_text(stage.seconds),
            f"{1000 * stage.seconds / stage.images:.1f} ms" if stage.images else "",
        ]
        for number, stage in enumerate(report.stages)
    ]
    parts = [table(["stage", "image size", "batch", "time", "an image"], rows)]
    saved = saved_share(report.stages)
    if saved is not None:
        panels = schedule_panels([stage.settings for stage in report.stages], edges)
        parts.insert(0, beside(*(drawing(chart, title) for title, chart in panels)))
        parts.append(
            note(
                f"Progressive learning took {100 * saved:.0f} % less time than all epochs at the last size would have,"
                " estimated from the time that an image took in the last stage."
            )
        )
    return section("Stages", *parts)


def _repeat(report: TrainingReport) -> str:
    versions = report.environment.get("versions", {})
    rows = [[name, str(value)] for name, value in report.environment.items() if name != "versions"]
    rows += [[name, str(value)] for name, value in versions.items()]
    parts = [_preformatted(report.command), note("Every setting, as recipe.json has it:"), _preformatted(report.recipe)]
    return section("To do it again", *parts, table(["environment", ""], rows, text=(1,)))


def _preformatted(text: str) -> str:
    import html

    return f"<div class='scroll'><pre>{html.escape(text)}</pre></div>"


def duration_text(seconds: float) -> str:
    """Return a time in words, such as `2 h 5 min`, `3 min 20 s` or `4.2 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
