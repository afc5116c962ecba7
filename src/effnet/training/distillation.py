"""Learning from another network's answers (arXiv 1503.02531): its probabilities say more about an image than a label.

The teacher sees the very pixels that the student sees, augmented and mixed, because a good teacher is consistent (arXiv
2106.05237 section 3): what it says of a mixed image is what the student should say. They are only brought to the
teacher's own colours and size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from effnet.creation import assemble
from effnet.errors import EffnetError, InputError
from effnet.inference.runtime import for_inference
from effnet.labels import outputs_for
from effnet.nn import Network
from effnet.preprocessing import Preprocess
from effnet.weights.loading import load_weights


class Teacher:
    """A trained network that answers and does not change.

    Attributes:
        digest: of its weights, which decide what a student learns.
    """

    def __init__(
        self,
        network: Network,
        *,
        classes: Sequence[str],
        preprocess: Preprocess,
        device: torch.device,
        size: int | None = None,
    ) -> None:
        """Take a network that knows its preprocessing.

        Args:
            network: it is copied.
            classes: the student's, in the order of its outputs.
            preprocess: the student's, whose colours the images will have.
            device: where to answer.
            size: side of the images that it sees; None: its own.

        Raises:
            InputError: it does not know the student's classes, or sees other channels.
        """
        theirs = network.preprocess
        if theirs is None:
            raise InputError("the teacher does not know its preprocessing", where="distillation.teacher", fix=_FIX)
        if network.spec.in_channels != len(preprocess.mean):
            what = f"the teacher sees {network.spec.in_channels} channels, the student {len(preprocess.mean)}"
            raise InputError(what, where="distillation.teacher", fix=_FIX)
        try:
            outputs = outputs_for(classes, network.labels, network.spec.classes)
        except InputError as error:
            what = f"cannot teach these classes: {error.what} ({error.where})"
            raise InputError(what, where="distillation.teacher", fix=_FIX) from None
        self.digest = _digest(network)
        self._network = for_inference(network, device)
        self._outputs = torch.tensor(outputs, device=device)
        self._size = size or theirs.size
        # (x * std + mean) are the pixels; both steps are one multiplication and one addition.
        mean, std = (torch.tensor(values, device=device) for values in (preprocess.mean, preprocess.std))
        their_mean, their_std = (torch.tensor(values, device=device) for values in (theirs.mean, theirs.std))
        self._gain = (std / their_std).view(1, -1, 1, 1)
        self._shift = ((mean - their_mean) / their_std).view(1, -1, 1, 1)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return what it says of the student's images: (N, C, H, W) -> float32 (N, classes of the student)."""
        seen = torch.addcmul(self._shift, images, self._gain)
        if seen.shape[-1] != self._size:
            size = (self._size, self._size)
            seen = functional.interpolate(seen, size=size, mode="bilinear", antialias=True, align_corners=False)
        answers: Tensor = self._network(seen).float()
        return answers.index_select(1, self._outputs)


_FIX = "name a model that was trained on these classes and kinds of images"


def open_teacher(
    name: str, *, classes: Sequence[str], preprocess: Preprocess, device: torch.device, size: int | None = None
) -> Teacher:
    """Return the teacher of that name: a published network, a tag of published weights, or a model file.

    Raises:
        EffnetError: nothing of that name, unreadable, or it cannot teach these classes.
    """
    try:
        network = assemble(load_weights(None, name))
    except EffnetError as error:
        where = "distillation.teacher" if error.where in (None, name) else f"distillation.teacher: {error.where}"
        raise type(error)(f"teacher {name}: {error.what}", where=where, fix=error.fix) from None
    return Teacher(network, classes=classes, preprocess=preprocess, device=device, size=size)


def distilled(logits: Tensor, taught: Tensor, targets: Tensor, *, weight: float, temperature: float) -> Tensor:
    """Return the mean loss: (1 - weight) * H(targets, p) + weight * T^2 * KL(teacher_T || p_T) (1503.02531 section 2).

    T^2 makes up for the second part's gradient, which falls as 1 / T^2, so that the weight means the same at any T.

    Args:
        logits: (N, K) of the student.
        taught: (N, K) of the teacher.
        targets: (N, K) distributions that the labels stand for.
        weight: of the teacher, from 0 to 1.
        temperature: T, that both logits are divided by.
    """
    labelled = functional.cross_entropy(logits, targets)
    ours, theirs = (functional.log_softmax(values / temperature, dim=1) for values in (logits, taught))
    told = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return (1 - weight) * labelled + weight * temperature**2 * told


def _digest(network: Network) -> str:
    hasher = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        hasher.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
