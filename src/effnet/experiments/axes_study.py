"""V1 Figures 3, 7 and 8: depth, width, resolution and compound scaling of one base at equal MACs, trained alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from effnet.data.decode import decode
from effnet.data.preprocess import to_batch, to_pixels
from effnet.data.source import Source
from effnet.data.sources import open_dataset, per_class
from effnet.errors import InputError
from effnet.experiments.phases import Bench, Outcome, Watcher
from effnet.experiments.short_training import ShortTraining
from effnet.inference.explain import class_activation_map, overlay
from effnet.inference.runtime import find_device
from effnet.nn import Network, build
from effnet.preprocessing import place as place_on
from effnet.scaling import Coefficients
from effnet.search.equal_macs import AxesPlan, ScaledNetwork
from effnet.search.equal_macs import plan as equal_macs
from effnet.search.study import Attempt, Record
from effnet.spec import NetworkSpec
from effnet.training.fit import judged_with
from effnet.training.recipe import Recipe
from effnet.weights import modelfile
from effnet.weights.atomic import make_folder
from effnet.weights.modelfile import ModelFile


@dataclass(frozen=True, slots=True, kw_only=True)
class AxesStudyPlan:
    """What is compared.

    Attributes:
        data: as a person names it.
        train_per_class, val_per_class: images of each class that are used; None: all.
        base: the network that is scaled.
        multiples: of the base's MACs.
        coefficients: bases of compound scaling.
        tolerance: share by which MACs may differ among the four.
        recipe: of every training; without a resolution each network has its own.
        seeds: trainings of each network.
        seed: of the first.
    """

    data: str
    train_per_class: int | None = None
    val_per_class: int | None = None
    base: NetworkSpec
    multiples: tuple[float, ...] = (2.0, 4.0)
    coefficients: Coefficients = field(default_factory=Coefficients)
    tolerance: float = 0.03
    recipe: Recipe
    seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse studies that cannot say anything."""
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds", where="seeds", fix="give 1 or more, 3 to know the spread")
        if self.recipe.resolution is not None:
            fix = "leave it out: the resolution is one of the axes"
            raise InputError("the recipe fixes the resolution", where="resolution", fix=fix)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        bases = self.coefficients
        return {
            "data": self.data,
            "train_per_class": self.train_per_class,
            "val_per_class": self.val_per_class,
            "base": self.base.to_json(),
            "multiples": list(self.multiples),
            "coefficients": {"alpha": bases.alpha, "beta": bases.beta, "gamma": bases.gamma},
            "tolerance": self.tolerance,
            "recipe": self.recipe.to_dict(),
            "seeds": self.seeds,
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AxesStudyPlan:
        """Read what `to_dict` wrote.

        Raises:
            EffnetError: it is not a plan.
        """
        try:
            parts = {
                "base": NetworkSpec.from_json(data["base"]),
                "multiples": tuple(data["multiples"]),
                "coefficients": Coefficients(**data["coefficients"]),
                "recipe": Recipe.from_dict(data["recipe"]),
            }
            return cls(**(dict(data) | parts))
        except (KeyError, TypeError):
            fix = "name a folder that `effnet study axes` made with this version"
            raise InputError("not a plan of an axes study", where="plan.json", fix=fix) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class AxesResult:
    """What came out.

    Attributes:
        networks: the baseline, then the four of each multiple.
        accuracies: percent, one for each seed, of each network.
        seconds: of all trainings, over all workers.
    """

    plan: AxesStudyPlan
    axes: AxesPlan
    networks: tuple[ScaledNetwork, ...]
    accuracies: tuple[tuple[float, ...], ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """Where one network looked in one image (V1 Figure 7).

    Attributes:
        picture: the image under the map of the network's first choice.
        answer: that choice, and its probability, 0 to 1.
    """

    network: ScaledNetwork
    picture: Image.Image
    answer: str
    probability: float


class AxesStudy:
    """One worker of the study."""

    def __init__(
        self,
        plan: AxesStudyPlan,
        folder: Path,
        *,
        name: str = "axes",
        storage: str | None = None,
        device: str | None = None,
        workers: int | None = None,
        watch: Watcher = lambda progress: None,
    ) -> None:
        """Find the networks and open the data.

        Args:
            folder: for the journal and the trained networks.
            storage: a database that workers on several machines share.
            watch: told after every training.

        Raises:
            EffnetError: no networks of equal MACs, or the data or the storage cannot be opened.
        """
        self.plan = plan
        self.axes = equal_macs(plan.base, plan.multiples, plan.coefficients, tolerance=plan.tolerance)
        self.networks = self.axes.networks
        dataset = open_dataset(plan.data, seed=plan.seed)
        self._dataset = per_class(dataset, train=plan.train_per_class, val=plan.val_per_class)
        self._training = ShortTraining(self._dataset, plan.recipe, device=find_device(device), workers=workers)
        self._bench = Bench(folder, name, storage=storage, watch=watch)
        self._folder = folder / "networks"

    def run(self) -> AxesResult:
        """Train every network with every seed, beside whoever else does.

        Raises:
            StoppedSearchError: SIGTERM or Ctrl-C came.
            EffnetError: what the storage and the data raise.
        """
        plan, networks = self.plan, self.networks
        units = [(place, seed) for seed in range(plan.seeds) for place in range(len(networks))]

        def work(attempt: Attempt) -> Outcome:
            place, seed = units[attempt.index]
            trained = self._training(networks[place].spec, seed=plan.seed + seed, report=attempt.report)
            if seed == 0:
                self._keep(place, trained.network)
            return Outcome(values=(trained.top1,), result={"accuracy": trained.top1, "curve": list(trained.curve)})

        def propose(index: int, earlier: Sequence[Record], chance: Any) -> Mapping[str, Any]:
            place, seed = units[index]
            network = networks[place]
            return {
                "axis": network.axis,
                "macs": network.macs,
                "seed": plan.seed + seed,
                "spec": network.spec.to_json(),
            }

        records = self._bench.carry_out(
            "networks", len(units), work, plan=plan.to_dict(), propose=propose, seed=plan.seed
        )
        accuracies: list[list[float]] = [[] for _ in networks]
        for (place, _), record in zip(units, records, strict=True):
            if record.state == "complete":
                accuracies[place].append(float(record.result["accuracy"]))
        return AxesResult(
            plan=plan,
            axes=self.axes,
            networks=tuple(networks),
            accuracies=tuple(map(tuple, accuracies)),
            seconds=sum(record.result.get("seconds", 0.0) for record in records),
        )

    def activations(self, images: int = 4) -> list[tuple[Image.Image, str, list[Activation]]]:
        """Return a few images with their true class and where the largest networks, trained alike, looked.

        Networks that another machine trained are not here and are left out.
        """
        source = self._dataset.val
        assert source is not None
        most = max(network.multiple for network in self.networks)
        trained = [
            (network, self._read(place))
            for place, network in enumerate(self.networks)
            if network.multiple == most and self._file(place).is_file()
        ]
        rows = []
        for index in _spread(source, images):
            image = decode(source.read(index))
            maps = [self._looked(network, model, image) for network, model in trained]
            rows.append((image, source.classes[int(source.labels[index])], maps))
        return rows

    def _looked(self, scaled: ScaledNetwork, network: Network, image: Image.Image) -> Activation:
        preprocess = judged_with(None, self.plan.recipe, network.spec)
        pixels = to_batch([to_pixels(image, preprocess)], preprocess)
        tensor = torch.as_tensor(pixels)
        with torch.no_grad():
            probabilities = network(tensor).softmax(1)[0]
        answer = int(probabilities.argmax())
        heat: Tensor = class_activation_map(network, tensor, [answer])[0]
        return Activation(
            network=scaled,
            picture=overlay(image, heat, window=place_on(preprocess, *image.size).window),
            answer=self._dataset.train.classes[answer],
            probability=float(probabilities[answer]),
        )

    def _file(self, place: int) -> Path:
        network = self.networks[place]
        return self._folder / f"{network.axis}-{network.macs / 1e6:.1f}M.safetensors"

    def _keep(self, place: int, network: Network) -> None:
        make_folder(self._folder)
        model = ModelFile(
            spec=network.spec,
            state={name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()},
            preprocess=judged_with(None, self.plan.recipe, network.spec),
            labels=tuple(self._dataset.train.classes),
            metrics={},
            provenance={"trained_by": "effnet study axes"},
        )
        modelfile.save(self._file(place), model)

    def _read(self, place: int) -> Network:
        model = modelfile.load(self._file(place))
        network = build(model.spec)
        network.load_state_dict(dict(model.state))
        return network.eval()


def _spread(source: Source, count: int) -> list[int]:
    """Return images of as many classes as there are."""
    seen: dict[int, int] = {}
    for index, label in enumerate(source.labels):
        seen.setdefault(int(label), index)
    return list(seen.values())[:count]
