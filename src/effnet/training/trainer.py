"""The training loop. Every step is a function of the state before it and of (seed, step): no hidden randomness.

    trainer = Trainer(network, recipe, dataset, preprocess=..., world=World(device=device), observers=[...])
    trainer.run(save=store.save)

What a checkpoint holds is `state()`; a trainer that `restore`s it goes on bit for bit as the one that wrote it would
have, in the middle of an epoch or of a progressive stage. That needs no stored random state, because the order of the
images, their augmentation, mixing, dropout and drop path are drawn afresh for each step from the seed and the step's
number, and no scheduler state, because rates and stages are functions of the step.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from effnet.allocator import keep_freed_memory
from effnet.data.loading import Loader, Unreadable, normalise
from effnet.data.mixing import Mixing, mix, soft_targets
from effnet.data.randomness import Purpose, generator
from effnet.data.request import Loaded
from effnet.data.source import Dataset
from effnet.errors import EffnetError, InputError
from effnet.nn import Network
from effnet.preprocessing import Preprocess
from effnet.training.augmentation import augmentation_of
from effnet.training.distillation import Teacher, distilled, open_teacher
from effnet.training.distributed import World, lost_rank
from effnet.training.events import (
    Ending,
    Evaluated,
    Event,
    Finished,
    Observer,
    Saved,
    StageStarted,
    Stepped,
    Warned,
)
from effnet.training.forward import Passes, require_precision
from effnet.training.interruption import InterruptedRunError, StopRequests
from effnet.training.judge import Judge
from effnet.training.learning_rate import scaled
from effnet.training.recipe import Recipe, chooser_of
from effnet.training.score import Score
from effnet.training.sharding import assign, shard, whole
from effnet.training.staging import apply_stage
from effnet.training.step_images import StepImages
from effnet.training.timeline import Step, timeline_of
from effnet.training.update import Update

_MOST_BAD_STEPS = 10
"""Steps in a row without a finite gradient after which the run has diverged."""

_FORMAT = 2

Save = Callable[[Mapping[str, Any], int], Any]


class DivergedError(EffnetError):
    """The loss or its gradient stays infinite or not a number."""


class OutOfMemoryError(EffnetError):
    """A batch does not fit in the device's memory."""


class Trainer:
    """One run's network, and the loop that moves it.

    Attributes:
        network: what is trained; it holds the last weights, not the averaged ones.
        timeline: which images each step sees.
        step: steps done.
        score: of the network to hand over so far; None before the first evaluation.
        stage_costs: (seconds, images) that each stage's steps have taken so far.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        dataset: Dataset,
        *,
        preprocess: Preprocess,
        world: World,
        workers: int = 0,
        unreadable: Unreadable = "fail",
        observers: Sequence[Observer] = (),
        on_best: Callable[[Mapping[str, Tensor], Mapping[str, float]], None] = lambda weights, metrics: None,
        advise: Callable[[int], int | None] = lambda image_size: None,
        teacher: Teacher | None = None,
    ) -> None:
        """Prepare a run; nothing is trained yet.

        Args:
            network: on any device, with as many outputs as there are classes.
            recipe: without undecided settings; `batch.size` counts the images on all processes.
            dataset: with images to train on; without `val`, nothing is judged.
            preprocess: how images become inputs, of the size that the network is judged at.
            world: this process among its peers.
            workers: processes that load images.
            unreadable: `fail` at an image that cannot be read, or `skip` it.
            observers: told of every event.
            on_best: called with the averaged network's state dict and its metrics when it is better than before.
            advise: the batch that would fit at an image size, for the message when memory runs out.
            teacher: whose answers are learnt, if not the one that the recipe names.

        Raises:
            InputError: the recipe has no batch size, the network other outputs than there are classes, or the device
                no kernels for the precision.
            EffnetError: the recipe's teacher cannot be opened, or does not know the classes.
        """
        if recipe.batch.size is None:
            raise InputError("the batch size is undecided", where="batch.size", fix="give one")
        network = network.canonical()
        if network.spec.classes != len(dataset.train.classes):
            what = f"{network.spec.classes} outputs for {len(dataset.train.classes)} classes"
            raise InputError(what, where="network", fix="create it with classes=...")
        require_precision(world.device, recipe.precision.dtype)
        self.recipe = recipe
        self.world = world
        device = world.device
        self.network = network.to(device)
        sharded = recipe.precision.sharding and world.size > 1
        if recipe.precision.channels_last and not sharded:  # weights are shared out row by row
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.requires_grad_(True)
        self.network.set_gradient_checkpointing(recipe.precision.checkpointing)
        world.copy_from_leader([*self.network.parameters(), *self.network.buffers()])
        if sharded:
            shard(self.network)
        self.timeline = timeline_of(recipe, network.spec, len(dataset.train))
        self._images = StepImages(dataset.train, recipe, self.timeline, world)
        self.step = 0
        self.score: Score | None = None
        self.stage_costs = [[0.0, 0] for _ in range(recipe.progressive.stages)]
        self.skipped_images: tuple[str, ...] = ()
        self._evaluations_since_best = 0
        self._judged = 0
        self._saved = 0
        self._bad_steps = 0
        self._seconds = 0.0
        self._dataset = dataset
        self._preprocess = preprocess
        self._observers = tuple(observers)
        self._on_best = on_best
        self._advise = advise
        self._update = Update(self.network, recipe, device)
        self._passes = Passes(self.network, recipe, world)
        self._teacher = teacher or self._open_teacher()
        self._loader = Loader(
            dataset.train,
            preprocess,
            augmentation=augmentation_of(recipe, preprocess),
            seed=recipe.seed,
            workers=workers,
            unreadable=unreadable,
            pin=device.type == "cuda",
        )
        self._judge: Judge | None = None
        if dataset.val:
            self._judge = Judge(dataset.val, preprocess, world, recipe, workers=workers, unreadable=unreadable)

    def run(self, save: Save | None = None, *, save_seconds: float = 300.0) -> Ending:
        """Train from the present step to the end; return how it ended.

        Args:
            save: called with (state, step) after every epoch and every `save_seconds`, on the leading process only.
            save_seconds: time between checkpoints within an epoch; 0 saves after every step.

        Raises:
            InterruptedRunError: SIGTERM or Ctrl-C came; a checkpoint was saved.
            DivergedError, OutOfMemoryError, ImageError: as their names say.
            RankError: another process died.
        """
        if self.world.device.type == "cpu":
            keep_freed_memory()
        with StopRequests() as requests:
            batches = self._loader.batches(self._images.requests(self.step))
            stage, saved_at, signalled, late = -1, time.monotonic(), 0, False
            while True:
                self._judge_epoch(requests)
                signalled = signalled or (requests.received if self.world.size == 1 else 0)
                ending = self._ending(late)
                due = self._between_epochs or ending or signalled or self._elapsed(saved_at, save_seconds)
                if save is not None and due and self.step != self._saved:
                    self._save(save)
                    saved_at = time.monotonic()
                if ending:
                    break
                if signalled:
                    raise InterruptedRunError(
                        signalled, where=f"step {self.step}", fix="effnet train --resume RUN goes on"
                    )
                step = self.timeline.at(self.step)
                if step.settings.stage != stage:
                    stage = step.settings.stage
                    self._enter(step)
                event, signalled, late = self._one_step(step, batches, requests)
                self._tell(event)
        self._tell(
            Finished(
                step=self.step, ending=ending, seconds=self._seconds, score=self.score, chooser=chooser_of(self.recipe)
            )
        )
        return ending

    def close(self) -> None:
        """End the loader's processes."""
        self._loader.close()
        if self._judge:
            self._judge.close()

    def averaged(self) -> AbstractContextManager[None]:
        """Let the network have the averaged weights inside the `with`, if the recipe keeps them."""
        return self._update.averaged()

    @property
    def seconds(self) -> float:
        """Seconds of training and judging, earlier sessions of a resumed run included."""
        return self._seconds

    def weights(self) -> dict[str, Tensor]:
        """Return the network's state dict, shared tensors gathered; every process must ask."""
        return {name: whole(tensor) for name, tensor in self.network.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """Return everything that decides the rest of the run; tensors are not copied. Every process must ask."""
        return {
            "format": _FORMAT,
            "step": self.step,
            "network": self.weights(),
            **self._update.state(),
            "best": None if self.score is None else self.score.to_dict(),
            "evaluations_since_best": self._evaluations_since_best,
            "judged": self._judged,
            "bad_steps": self._bad_steps,
            "teacher": self._teacher.digest if self._teacher else None,
            "seconds": self._seconds,
            "stage_costs": [list(cost) for cost in self.stage_costs],
        }

    def restore(self, state: Mapping[str, Any], *, further: bool = False) -> None:
        """Go back to where `state` was taken.

        Args:
            state: of a run of the same recipe, the number of epochs aside.
            further: the run shall go on although it may have ended for want of improvement.

        Raises:
            InputError: the state is of another version or another network.
        """
        if state.get("format") != _FORMAT:
            what = f"a checkpoint of format {state.get('format')!r}, this version reads {_FORMAT}"
            raise InputError(what, where="checkpoint", fix="resume with the version that began the run")
        if state.get("teacher") != (self._teacher.digest if self._teacher else None):
            fix = "bring the teacher back as it was, or train anew"
            raise InputError(
                "the teacher is not the one that the run began with", where="distillation.teacher", fix=fix
            )
        try:
            mine = self.network.state_dict()
            if mine.keys() != state["network"].keys():
                raise KeyError(", ".join(sorted(mine.keys() ^ state["network"].keys())[:3]))
            for name, tensor in mine.items():
                assign(tensor, state["network"][name])
            self._update.restore(state)
        except (RuntimeError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            fix = "resume with the recipe that began the run"
            raise InputError(f"not a checkpoint of this run: {reason}", where="checkpoint", fix=fix) from None
        self.step = state["step"]
        self.score = None if state["best"] is None else Score.from_dict(state["best"])
        self._evaluations_since_best = 0 if further else state["evaluations_since_best"]
        self._judged = state["judged"]
        self._saved = self.step
        self._bad_steps = state["bad_steps"]
        self._seconds = state["seconds"]
        self.stage_costs = [list(cost) for cost in state["stage_costs"]]

    def _tell(self, event: Event) -> None:
        if self.world.leads:
            for observer in self._observers:
                observer(event)

    def _enter(self, step: Step) -> None:
        apply_stage(self.network, step.settings)
        stages, batch = self.recipe.progressive.stages, self.timeline.batch_of(step.settings)
        self._tell(StageStarted(step=step.number, stages=stages, settings=step.settings, batch=batch))

    def _one_step(self, step: Step, batches: Iterator[Loaded], requests: StopRequests) -> tuple[Stepped, int, bool]:
        began = time.monotonic()
        self._passes.enter(step.position)
        nominal = self.timeline.batch_of(step.settings)
        share = self.recipe.schedule.share_at(step.position, self.recipe.epochs)
        rate = scaled(self.recipe.lr, nominal) * share
        self._update.begin(rate)
        loss, waited = self._gradients(step, batches)
        late = self.recipe.max_hours is not None and self._seconds >= 3600 * self.recipe.max_hours
        # One exchange a step: the loss to show, whether any process was asked to stop, whether the leader's time is up.
        leads = self.world.leads
        loss, signalled, overdue = self.world.total([loss, float(requests.received), float(late and leads)])
        norm = self._update.move(math.isfinite(loss))
        self._bad_steps = self._bad_steps + 1 if norm is None else 0
        if norm is None:
            self._bad_step(step, loss)
        seconds = time.monotonic() - began
        self.step += 1
        self._seconds += seconds
        cost = self.stage_costs[step.settings.stage]
        cost[0] += seconds
        cost[1] += step.count
        event = Stepped(
            step=self.step,
            epoch=(step.epoch * self.timeline.samples + step.first + step.count) / self.timeline.samples,
            stage=step.settings.stage,
            loss=loss,
            rate=rate,
            gradient_norm=norm,
            samples=step.count,
            seconds=seconds,
            waited=waited,
            skipped=norm is None,
        )
        return event, requests.received or (signal.SIGTERM if signalled else 0), overdue > 0

    def _gradients(self, step: Step, batches: Iterator[Loaded]) -> tuple[float, float]:
        """Accumulate the gradient of the step's mean loss; return this process's part of that loss, and the wait."""
        loss = torch.zeros((), device=self.world.device)
        waited = 0.0
        micro = self._images.micro_batches(step)
        for part, places in enumerate(micro):
            loaded = next(batches)
            waited += loaded.waited
            try:
                with self._passes.exchange(last=part == len(micro) - 1):
                    value = self._forward(step, part, loaded) * (len(places) / step.count)
                    # The exchange averages over the processes, the step's loss is their sum.
                    torch.autograd.backward(self._update.scaled(value * self.world.size))
            except RuntimeError as error:
                raise self._explained(error, step, len(loaded.indices)) from error
            loss += value.detach()
        self.skipped_images = self._loader.skipped
        return float(loss), waited

    def _forward(self, step: Step, part: int, loaded: Loaded) -> Tensor:
        device, settings, seed = self.world.device, step.settings, self.recipe.seed
        place = (step.number, part, self.world.rank)
        images = normalise(loaded.images.to(device, non_blocking=True), self._preprocess)
        if not self.recipe.precision.channels_last:
            images = images.contiguous()
        classes = self.network.spec.classes
        targets = soft_targets(loaded.labels.to(device), classes, self.recipe.regularisation.label_smoothing)
        mixing = Mixing(mixup_alpha=settings.mixup, cutmix_alpha=settings.cutmix)
        drawn = mixing.draw(generator(seed, *place, purpose=Purpose.MIX), len(images), *images.shape[-2:])
        images, targets = mix(images, targets, drawn)
        # First, so that what it needs of memory is free again when the student's activations are kept.
        taught = self._passes.answered_by(self._teacher, images) if self._teacher else None
        torch.manual_seed(int(generator(seed, *place, purpose=Purpose.NOISE).integers(2**63)))
        logits = self._passes.logits(images).float()
        if taught is None:
            return functional.cross_entropy(logits, targets)
        how = self.recipe.distillation
        return distilled(logits, taught, targets, weight=how.weight, temperature=how.temperature)

    def _open_teacher(self) -> Teacher | None:
        part = self.recipe.distillation
        if part.teacher is None:
            return None
        return open_teacher(
            part.teacher,
            classes=self._dataset.train.classes,
            preprocess=self._preprocess,
            device=self.world.device,
            size=part.size,
        )

    def _bad_step(self, step: Step, loss: float) -> None:
        if not self._update.scales:
            self._tell(
                Warned(step=step.number, message=f"step {step.number} left out: loss {loss}, gradient not finite")
            )
        if self._bad_steps < (4 * _MOST_BAD_STEPS if self._update.scales else _MOST_BAD_STEPS):
            return
        names = [self._dataset.train.name(int(index)) for index in self._images.of(step)[:8]]
        raise DivergedError(
            f"{self._bad_steps} steps in a row had no finite gradient",
            where=f"step {step.number} (images {', '.join(names)}, ...)",
            fix=f"lower the learning rate (lr={self.recipe.lr / 4:g}) or set optimizer.clip_norm=1, then train again",
        )

    def _explained(self, error: RuntimeError, step: Step, batch: int) -> BaseException:
        text = str(error).lower()
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in text or "not enough memory" in text:
            size = step.settings.image_size
            fits = self._advise(size)
            whole = batch * self.world.size
            smaller = max(1, min(fits * self.world.size if fits else whole // 2, whole // 2))
            times = self.recipe.batch.accumulate * -(-whole // smaller)
            same = "the same step" if self.recipe.transfer.norm_statistics == "freeze" else "a step over as many images"
            fix = f"--set batch.size={smaller} --set batch.accumulate={times} has {same} in less memory"
            return OutOfMemoryError(f"no memory for {batch} images of {size} px", where=f"step {step.number}", fix=fix)
        return lost_rank(error) if (self.world.size > 1 and "gloo" in text) or "nccl" in text else error

    @property
    def best(self) -> float | None:
        """Top-1 in percent of the network to hand over; None before the first evaluation."""
        return None if self.score is None else self.score.top1

    @property
    def _between_epochs(self) -> bool:
        return self.step > 0 and self.timeline.at(self.step - 1).ends_epoch

    def _ending(self, late: bool) -> Ending | None:
        if self.step == self.timeline.steps and (self._judged == self.step or not self._judge):
            return "completed"
        if late:
            return "out_of_time"
        patience = self.recipe.patience
        return "no_improvement" if patience is not None and self._evaluations_since_best >= patience else None

    def _elapsed(self, since: float, seconds: float) -> bool:
        # All processes must agree, as each of them holds a part of a sharded state.
        return bool(self.world.told(time.monotonic() - since >= seconds))

    def _judge_epoch(self, requests: StopRequests) -> None:
        """Judge the averaged network, once after each epoch; being asked to stop leaves it for the resumed run."""
        if not self._judge or not self._between_epochs or self._judged == self.step:
            return
        began = time.monotonic()
        alone = self.world.size == 1
        with self.averaged():
            evaluation = self._judge.evaluate(self.network, stop=lambda: alone and requests.received > 0)
            if evaluation is None:
                return
            score, before, by = Score.of(evaluation), self.score, chooser_of(self.recipe)
            best = score.replaces(before, by)
            if best:
                self.score = score
                weights = self.weights()
                if self.world.leads:
                    self._on_best(weights, score.metrics)
        self._judged = self.step
        # A tie that is broken by the loss is handed over, but patience waits for a better score.
        better = before is None or score.by(by) > before.by(by)
        self._evaluations_since_best = 0 if better else self._evaluations_since_best + 1
        seconds = time.monotonic() - began
        self._seconds += seconds
        epoch = self.timeline.at(self.step - 1).epoch + 1.0
        self._tell(Evaluated(step=self.step, epoch=epoch, score=score, best=best, seconds=seconds, chooser=by))

    def _save(self, save: Save) -> None:
        self._saved = self.step
        state = self.state()
        if self.world.leads:
            self._tell(Saved(step=self.step, path=save(state, self.step)))
