"""What to do whichever network is chosen, and the commands."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from effnet.comparison.subject import short_label
from effnet.guide.candidates import Candidate
from effnet.guide.default_network import default_network
from effnet.guide.situation import Situation

_ENLARGED = 96
"""Pixels to which tiny images are enlarged for ImageNet weights; as in `effnet.training.decisions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One sentence, and who says so."""

    text: str
    source: str


def advice(situation: Situation, resolution: int) -> tuple[Advice, ...]:
    """Return what holds for the situation.

    Args:
        resolution: native one of the first choice, pixels.
    """
    said = []

    def say(text: str, source: str) -> None:
        said.append(Advice(text=text, source=source))

    if situation.from_nothing:
        say(
            "train from nothing at 32 px with the recipe `small`, whose stem does not halve the image; compare with "
            f"fine-tuning at {_ENLARGED} px before you rely on it",
            "the recipe `small`",
        )
    elif situation.tiny:
        say(
            f"too few to learn from nothing: enlarge them to {_ENLARGED} px, where ImageNet weights still see shapes",
            "what `effnet train` decides",
        )
    else:
        say(
            f"train and predict at the native {resolution} px: other sizes lose accuracy that the network paid for",
            "the lecture's guide: keep the native resolution",
        )
    if situation.images is not None and situation.images < 10_000:
        say("bigger is not always better: try one size smaller before one size larger", "the lecture's guide")
    if situation.images is not None and situation.classes is not None and situation.images < 20 * situation.classes:
        say("fewer than 20 images a class: more images will do more than any other network", "effnet data check")
    if situation.goal == "fast-training":
        say(
            "train in stages of growing images and augmentation (--stages 4)",
            "V2 section 4.2: 1.4 to 2.2 times as fast at equal or better accuracy",
        )
    say(_taken_by_train(situation), "effnet train --dry-run")
    return tuple(said)


def _taken_by_train(situation: Situation) -> str:
    if situation.from_nothing:
        return "`effnet train DATA` without --recipe enlarges the images and begins with ImageNet weights instead"
    images = situation.images or 1
    here, there = (short_label(default_network(images, accelerator=known)[0]) for known in (False, True))
    if situation.trained_on is not None:
        taken = here if situation.trained_on == "cpu" else there
    else:
        taken = f"{here} on a CPU and {there} on a GPU"
    return f"`effnet train DATA` without --model does not ask this list: it takes {taken}, for the quickest answer"


def train_command(situation: Situation, candidate: Candidate, data: str) -> str:
    """Return the command that trains a network in this situation."""
    words = ["effnet", "train", data]
    if situation.from_nothing:
        words += ["--recipe", "small"]
    words += ["--model", candidate.name.removeprefix("efficientnet_")]
    if situation.tiny and not situation.from_nothing:
        words += ["--resolution", str(_ENLARGED)]
    if situation.goal == "fast-training" and not situation.tiny:
        words += ["--stages", "4"]
    if situation.max_train_hours is not None:
        words += ["--max-hours", f"{situation.max_train_hours:g}"]
    return shlex.join([*words, "--run", "runs/chosen"])


def export_command(situation: Situation) -> str:
    """Return the command that exports the trained network for where it will run."""
    form = {"mobile": "litert", "edgetpu": "litert", "cpu": "openvino"}.get(situation.target, "onnx")
    return f"effnet export runs/chosen --to {form}"
