"""`effnet recommend`: which network for these images, this device and this goal, by rules or by trying."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, echo

from effnet.errors import InputError

if TYPE_CHECKING:
    from effnet.guide.candidates import Candidate
    from effnet.guide.recommend import Recommendation
    from effnet.guide.situation import Situation


_ALL = 99


def recommend(
    goal: Annotated[str, Option("--goal", help="prototype, balanced, best or fast-training.")] = "balanced",
    data: Annotated[
        str | None, Option("--data", metavar="DATA", help="Your images, as for train: their number, classes and sizes.")
    ] = None,
    images: Annotated[int | None, Option("--images", help="How many to learn from, instead of --data.")] = None,
    classes: Annotated[int | None, Option("--classes", help="Of how many classes, instead of --data.")] = None,
    image_side: Annotated[
        int | None, Option("--image-side", help="Median shorter side in pixels, instead of --data.")
    ] = None,
    target: Annotated[str, Option("--target", help="Where it will run: any, gpu, cpu, mobile, edgetpu.")] = "any",
    trained_on: Annotated[str | None, Option("--trained-on", help="cpu or gpu; --try asks the device.")] = None,
    max_params: Annotated[str | None, Option("--max-params", help="Parameters, such as 10M.")] = None,
    max_macs: Annotated[str | None, Option("--max-macs", help="MACs for one image, such as 1G.")] = None,
    max_memory: Annotated[str | None, Option("--max-memory", help="Weights and live tensors, such as 64MB.")] = None,
    max_latency_ms: Annotated[
        float | None, Option("--max-latency-ms", help="For one image, measured here and now.")
    ] = None,
    max_train_hours: Annotated[
        float | None,
        Option("--max-train-hours", help="Of training, estimated from steps timed here; needs the images."),
    ] = None,
    count: Annotated[int, Option("--count", help="Networks on the list.")] = 3,
    trial: Annotated[bool, Option("--try", help="Train the list briefly on --data and decide by measurement.")] = False,
    max_minutes: Annotated[float, Option("--max-minutes", help="For --try.")] = 18.0,
    epochs: Annotated[int | None, Option("--epochs", help="Of a whole training in --try.")] = None,
    run: Annotated[Path | None, Option("--run", help="Folder of the trial; default: runs/ and a name.")] = None,
    resume: Annotated[Path | None, Option("--resume", help="Go on with the trial in this folder.")] = None,
    seed: Annotated[int, Option("--seed", help="Of everything random in --try.")] = 0,
    device: Annotated[str | None, Option("--device", help="cpu, cuda, cuda:1; default: the accelerator.")] = None,
    threads: Annotated[int | None, Option("--threads", help="CPU threads while latency is measured.")] = None,
    workers: Annotated[int | None, Option("--workers", help="Processes that load images.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON; progress goes to standard error.")] = False,
) -> None:
    """Recommend networks: a ranked list with reasons, sources and commands; with --try, decided on your own images."""
    options = {"device": device, "threads": threads, "workers": workers}
    if resume is not None:
        if data is not None or trial or run is not None:
            raise InputError("a trial that goes on keeps its plan", where="--resume", fix="give only --resume RUN")
        _try(None, resume, options, as_json)
        return
    if trial and data is None:
        raise InputError("--try without images to try on", where="--try", fix="add --data FOLDER")
    facts = _facts(data, seed, images=images, classes=classes, image_side=image_side)
    if trial and trained_on is None:
        from effnet.inference.runtime import find_device

        trained_on = "cpu" if find_device(device).type == "cpu" else "gpu"
    limits = _limits(max_params, max_macs, max_memory)
    limits |= {"max_latency_ms": max_latency_ms, "max_train_hours": max_train_hours}
    situation = _situation(goal=goal, target=target, trained_on=trained_on, **facts, **limits)
    # Every candidate whose latency is limited is measured, so only a few more than are needed are asked for then.
    spare = 3 if max_latency_ms is not None or max_train_hours is not None else _ALL
    found = _found(situation, count + spare if trial else count, data or "DATA", options)
    if trial:
        plan = {"data": str(data), "count": max(2, count), "minutes": max_minutes, "epochs": epochs, "seed": seed}
        _try((found, plan), run, options, as_json)
    else:
        _show(found, as_json)


def _show(found: Recommendation, as_json: bool) -> None:
    if as_json:
        from effnet.cli.arguments import as_json as json_text

        echo(json_text(found.to_dict()))
        return
    from effnet.cli.terminal import width, wrapped
    from effnet.report.recommendation import text

    echo(wrapped(text(found), width()))


def _facts(data: str | None, seed: int, **given: int | None) -> dict[str, Any]:
    if data is None:
        return dict(given)
    if any(value is not None for value in given.values()):
        raise InputError("--data and numbers are both given", where="--data", fix="leave out --images and the like")
    from effnet.data.facts import facts_of

    return dict(facts_of(data, seed=seed))


def _situation(**facts: Any) -> Situation:
    from effnet.guide.situation import Situation

    return Situation(**facts)


def _limits(params: str | None, macs: str | None, memory: str | None) -> dict[str, Any]:
    from effnet.quantities import parse_bytes, parse_count

    return {
        "max_params": None if params is None else parse_count(params),
        "max_macs": None if macs is None else parse_count(macs),
        "max_memory_bytes": None if memory is None else parse_bytes(memory),
    }


def _found(situation: Situation, count: int, data: str, options: dict[str, Any]) -> Recommendation:
    """Ask the guide; torch is loaded only where something must be measured."""
    from effnet.guide.recommend import recommend as recommended
    from effnet.weights.availability import why_missing
    from effnet.weights.published import default

    def missing(candidate: Candidate) -> str | None:
        return why_missing(default(candidate.name))

    measures: dict[str, Any] = {}
    clock = {name: options[name] for name in ("device", "threads")}
    if situation.max_latency_ms is not None:
        from effnet.experiments.device_facts import latency_here

        measures["latency"] = latency_here(**clock)
    if situation.max_train_hours is not None:
        if situation.images is None:
            fix = "add --data FOLDER or --images N"
            raise InputError("training time depends on the images", where="--max-train-hours", fix=fix)
        from effnet.experiments.device_facts import train_hours_here

        measures["train_hours"] = train_hours_here(situation, **clock)
    return recommended(situation, count=count, data=data, missing=missing, **measures)


def _try(request: tuple[Recommendation, dict[str, Any]] | None, run: Path | None, options: Any, as_json: bool) -> None:
    import sys

    from effnet.experiments.experiment_folder import ExperimentFolder
    from effnet.experiments.network_choice import TryPlan, try_candidates
    from effnet.experiments.trial_files import trial_text, write_trial
    from effnet.experiments.verdict import judge
    from effnet.inference.runtime import find_device
    from effnet.training.display import display_for

    if request is None:
        assert run is not None
        held = ExperimentFolder(run).open_plan()
        if held["kind"] != "recommend":
            raise InputError(f"holds a {held['kind']} experiment", where=str(run), fix="resume it with its own command")
        plan = TryPlan.from_dict(held["plan"])
    else:
        found, settings = request
        names = tuple(choice.name for choice in found.choices)
        plan = TryPlan(situation=found.situation, names=names, left_out=found.left_out, **settings)
    place = str(find_device(options["device"]))
    folder = ExperimentFolder.join(run, "recommend", plan.to_dict(), device=place)
    stream = sys.stderr if as_json else sys.stdout

    def say(line: str) -> None:
        print(line, file=stream, flush=True)

    tried = try_candidates(plan, folder.path, say=say, display=lambda: display_for(stream), **options)
    verdict = judge(tried)
    data = write_trial(folder, tried, verdict)
    if as_json:
        from effnet.cli.arguments import as_json as json_text

        echo(json_text(data))
    else:
        echo(trial_text(folder, tried, verdict))
