"""The page of an architecture search: what was tried, what won, what it cost, and what can be concluded."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effnet.report.anatomy import Anatomy
from effnet.report.anatomy_diagram import draw_two
from effnet.report.experiment_charts import history_chart, pareto_chart
from effnet.report.html import note, page, picture, section, table
from effnet.search.pareto import front


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRow:
    """One candidate: name, cost, top-1 in percent (None: given up or stopped early), reward."""

    name: str
    cost: float
    accuracy: float | None
    reward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """Everything that the page shows.

    Attributes:
        cost: name and unit of the cost; `target` is in it.
        tried, control: in order.
        winner_seeds: percent, of its final trainings.
        winner_cost: computed; `winner_measured` on the whole network, where the cost is a time.
        correlations: (tau, low, high, networks) by evaluator.
        spent: seconds by phase.
        networks: the base and the winner.
    """

    data: str
    base: str
    cost: str
    target: float
    searcher: str
    evaluator: str
    tried: Sequence[JudgedRow]
    control: Sequence[JudgedRow]
    winner: str
    winner_seeds: Sequence[float]
    winner_cost: float
    winner_measured: float | None
    correlations: Mapping[str, tuple[float, float, float, int]]
    spent: Mapping[str, float]
    networks: tuple[Anatomy, Anatomy]
    commands: str


def render(report: SearchReport) -> str:
    """Return the page, self-contained.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    judged = [(row.cost, row.accuracy) for row in report.tried if row.accuracy is not None]
    control = [(row.cost, row.accuracy) for row in report.control if row.accuracy is not None]
    points = [*judged, *control]
    best = [points[place] for place in front(points)]
    mean = statistics.mean(report.winner_seeds)
    winner = (report.winner_measured or report.winner_cost, mean)
    chart = pareto_chart(judged, control, best, winner, cost=report.cost, target=report.target)
    rewards = [row.reward for row in report.tried]
    history = history_chart(rewards, [row.reward for row in report.control])
    beside = draw_two(*report.networks).encode()
    parts = [
        section("In short", table(["", ""], _facts(report), text=(1,)), _preformatted(report.commands)),
        section("What it can say", *(note(sentence) for sentence in conclusions(report))),
        section(
            f"The winner beside {report.networks[0].name}",
            picture(beside, "image/svg+xml", "the two networks stage by stage"),
        ),
        section("Accuracy against cost", picture(chart, "image/svg+xml", "accuracy against cost of every candidate")),
        section("The search", picture(history, "image/svg+xml", "reward of each candidate in order")),
        section("On the Pareto front", _front(report)),
    ]
    if report.correlations:
        parts.append(section("What the cheap evaluators are worth", _correlations(report)))
    return page("Architecture search", parts, subtitle=f"around {report.base} on {report.data}")


def conclusions(report: SearchReport) -> list[str]:
    """Return, in words, what the figures allow to say."""
    mean = statistics.mean(report.winner_seeds)
    known = [row.accuracy for row in report.control if row.accuracy is not None]
    sentences = []
    if len(known) >= 2:
        median, spread = statistics.median(known), statistics.stdev(known)
        gain = mean - median
        beyond = "more than" if gain > spread else "not more than"
        sentences.append(
            f"The winner's mean over {len(report.winner_seeds)} fresh seeds is {mean:.2f} %; the median of"
            f" {len(known)} random candidates of about the same cost is {median:.2f} %, and they spread by"
            f" {spread:.2f} (standard deviation). The gain of {gain:+.2f} points is {beyond} that spread."
        )
        spent_search = report.spent.get("search", 0.0)
        spent_control = report.spent.get("control", 0.0)
        sentences.append(
            f"The best of the random ones reached {max(known):.2f} % with one seed, in {spent_control / 60:.1f} minutes"
            f" of training; the search had {spent_search / 60:.1f}. Choosing the best of many flatters it, which the"
            " winner's fresh seeds do not."
        )
    else:
        sentences.append("Without a random control nothing says that searching was better than drawing at random.")
    if report.winner_measured is not None:
        off = report.winner_measured / report.target - 1
        guess = report.winner_cost / report.winner_measured - 1
        sentences.append(
            f"The winner's measured {report.cost} is {report.winner_measured:.2f}, {100 * off:+.1f} % off the target;"
            f" the table had predicted {report.winner_cost:.2f} ({100 * guess:+.1f} %)."
        )
    sentences.append(
        "A search like this ranks networks by short trainings on these images. It cannot find what MnasNet's 8,000"
        " candidates of 5 ImageNet epochs found; train the winner and its base fully before you choose."
    )
    return sentences


def _facts(report: SearchReport) -> list[list[str]]:
    mean = statistics.mean(report.winner_seeds)
    seeds = ", ".join(f"{value:.1f}" for value in report.winner_seeds)
    tried = sum(row.accuracy is not None for row in report.tried)
    cost = f"{report.winner_cost:.4g} (target {report.target:.4g})"
    if report.winner_measured is not None:
        cost = f"{report.winner_measured:.4g} measured, {cost}"
    spent = ", ".join(f"{phase} {seconds / 60:.1f} min" for phase, seconds in report.spent.items())
    return [
        ["winner", report.winner],
        ["its top-1", f"{mean:.2f} % ({seeds})"],
        [f"its {report.cost}", cost],
        ["searcher, evaluator", f"{report.searcher}, {report.evaluator}"],
        ["candidates", f"{len(report.tried)}, {tried} of them judged to the end; {len(report.control)} random control"],
        ["spent", f"{spent}; {sum(report.spent.values()) / 60:.1f} min in all"],
    ]


def _front(report: SearchReport) -> str:
    rows = [row for row in (*report.tried, *report.control) if row.accuracy is not None]
    chosen = front([(row.cost, row.accuracy or 0.0) for row in rows])
    shown = [[rows[i].name, f"{rows[i].cost:.4g}", f"{rows[i].accuracy:.2f}", f"{rows[i].reward:.4f}"] for i in chosen]
    return table(["candidate", report.cost, "top-1 %", "reward"], shown)


def _correlations(report: SearchReport) -> str:
    ordered = sorted(report.correlations.items(), key=lambda item: -abs(item[1][0]))
    rows = [
        [name, f"{tau:+.2f}", f"{low:+.2f} to {high:+.2f}", str(count)] for name, (tau, low, high, count) in ordered
    ]
    text = "Kendall's tau with the short trainings of the control: 1 ranks alike, 0 is chance, below 0 the wrong way."
    return table(["evaluator", "tau", "95 %", "networks"], rows) + note(text)


def _preformatted(text: str) -> str:
    import html

    return f"<div class='scroll'><pre>{html.escape(text)}</pre></div>"
