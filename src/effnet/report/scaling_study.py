"""The page of a scaling study: which alpha, beta and gamma suit the data, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effnet.report.experiment_charts import surface_chart
from effnet.report.html import note, page, picture, section, table


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    """One candidate: its coefficients, MACs at phi = 1 over the base's, and what its trainings gave, in percent."""

    alpha: float
    beta: float
    gamma: float
    ratio: float
    params: int
    accuracies: Sequence[float]
    mean: float
    error: float
    probability: float
    equal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingReport:
    """Everything that the page shows; `chosen` is a place in `rows`, `ranges` and `spread` are by coefficient."""

    data: str
    base: str
    rows: Sequence[CandidateRow]
    chosen: int
    ranges: dict[str, tuple[float, float]]
    spread: dict[str, float]
    deviation: float
    epochs: int
    seeds: int
    seconds: float
    command: str


def render(report: ScalingReport) -> str:
    """Return the page, self-contained.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    best = report.rows[report.chosen]
    facts = [
        [name, f"{getattr(best, name):g}", f"{low:g} to {high:g}", f"{report.spread[name]:.3f}", papers]
        for (name, (low, high)), papers in zip(report.ranges.items(), ("1.2", "1.1", "1.15"), strict=True)
    ]
    headers = ["coefficient", "chosen", "among those not worse at 95 %", "standard deviation", "the paper's"]
    chart = surface_chart(
        [(row.alpha, row.beta, row.gamma, row.mean) for row in report.rows], report.chosen, target=2.0
    )
    parts = [
        section("In short", table(headers, facts), note(_sentence(report)), _command(report)),
        section(
            "The candidates on the constraint surface",
            picture(chart, "image/svg+xml", "beta, gamma and accuracy of every candidate"),
            note("Every candidate has alpha * beta^2 * gamma^2 near 2, so alpha follows from beta and gamma."),
        ),
        section("Every candidate", _table(report)),
        section(
            "What this can say",
            note(
                f"Each candidate was trained {report.seeds} times for {report.epochs} epochs. Short trainings favour"
                " networks that learn fast; the paper trained long on ImageNet, and its grid is not published. Repeat"
                " with more epochs and seeds before you scale far."
            ),
        ),
    ]
    return page("Scaling coefficients", parts, subtitle=f"{report.base} on {report.data}")


def _sentence(report: ScalingReport) -> str:
    best = report.rows[report.chosen]
    equals = sum(row.equal for row in report.rows)
    if report.seeds < 2:
        return "With one training each, nothing is known of the spread, so no candidate can be said to be better."
    return (
        f"The best mean is {best.mean:.2f} % +- {best.error:.2f} (standard error; one training varies by"
        f" {report.deviation:.2f}). It is the best with a probability of {100 * best.probability:.0f} %;"
        f" {equals} of {len(report.rows)} candidates cannot be told from it."
        f" All trainings took {report.seconds / 60:.1f} minutes."
    )


def _command(report: ScalingReport) -> str:
    import html

    return f"<pre>{html.escape(report.command)}</pre>"


def _table(report: ScalingReport) -> str:
    order = sorted(report.rows, key=lambda row: -row.mean)
    rows = [
        [
            f"{row.alpha:g}",
            f"{row.beta:g}",
            f"{row.gamma:g}",
            f"{row.alpha * row.beta**2 * row.gamma**2:.3f}",
            f"{row.ratio:.2f}",
            f"{row.params / 1e6:.2f}M",
            f"{row.mean:.2f}",
            f"{row.error:.2f}",
            f"{100 * row.probability:.0f} %",
            "not worse" if row.equal else "",
        ]
        for row in order
    ]
    headers = ["alpha", "beta", "gamma", "product", "MACs / base", "params", "top-1 %", "error", "is best", "at 95 %"]
    return table(headers, rows)
