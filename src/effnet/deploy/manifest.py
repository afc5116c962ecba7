"""What a bundle is and how to feed it: the description that travels with the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from effnet.deploy.document import AGAIN, build, dumps, loads, mapping, plain, require_count, require_text
from effnet.errors import SpecError, WeightsError
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.temperature import FIX as TEMPERATURE_FIX
from effnet.temperature import is_temperature

Format = Literal["onnx", "openvino", "torch", "executorch", "litert", "native"]
Precision = Literal["fp32", "fp16", "int8"]

FORMATS: tuple[Format, ...] = get_args(Format)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

VERSION = 1
"""Of the JSON form."""

MAX_BATCH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that is needed to run the graph of a bundle and to read what it answers.

    A graph takes one input and gives float32 logits (N, classes). The input is float32 (N, C, size, size), prepared as
    `preprocess` says; or, with `preprocessing_in_graph`, the uint8 pixels (N, size, size, C) that resizing and cropping
    leave. Whatever the precision inside, input and output keep these types.

    Attributes:
        name: what to call the model.
        format: what the payload is.
        precision: `fp32`; `fp16`: weights in half precision, arithmetic in single; `int8`: both in eight bits.
        spec: the network.
        preprocess: how images become inputs.
        labels: class names in output order; None when the classes have none.
        temperature: what logits are divided by before the softmax.
        input_name, output_name: of the graph.
        batch: images that the graph takes at once; None: any number.
        preprocessing_in_graph: whether the graph normalises the pixels itself.
        source: where the weights came from: the digest of their tensors under `weights_sha256`, and their provenance.
        versions: packages that made the bundle.

    Raises:
        WeightsError: a value is impossible, or two do not belong together.
    """

    name: str
    format: Format
    precision: Precision
    spec: NetworkSpec
    preprocess: Preprocess
    labels: tuple[str, ...] | None = None
    temperature: float = 1.0
    input_name: str = "images"
    output_name: str = "logits"
    batch: int | None = None
    preprocessing_in_graph: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no bundle can be."""
        for name in ("name", "input_name", "output_name"):
            require_text(name, getattr(self, name))
        for name, choices in (("format", FORMATS), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                what = f"{name} is {getattr(self, name)!r}, known are {', '.join(choices)}"
                raise WeightsError(what, where=name, fix="pip install --upgrade effnet")
        if not self.spec.classes:
            raise WeightsError("this network has no classifier", where=self.name, fix="give it classes")
        if len(self.preprocess.mean) != self.spec.in_channels:
            what = f"{len(self.preprocess.mean)} means for {self.spec.in_channels} channels"
            raise WeightsError(what, where=self.name, fix="give one mean a channel")
        if self.labels is not None:
            if not isinstance(self.labels, tuple) or not all(isinstance(label, str) for label in self.labels):
                raise WeightsError("labels are not a list of texts", where=self.name, fix=AGAIN)
            if len(self.labels) != self.spec.classes:
                what = f"{len(self.labels)} labels for {self.spec.classes} classes"
                raise WeightsError(what, where=self.name, fix="give one label a class, or none")
        if not is_temperature(self.temperature):
            raise WeightsError(f"temperature is {self.temperature!r}", where=self.name, fix=TEMPERATURE_FIX)
        if self.batch is not None:
            require_count("batch", self.batch, 1)
            if self.batch > MAX_BATCH:
                raise WeightsError(f"batch is {self.batch}", where="batch", fix=f"give at most {MAX_BATCH}")
        if not isinstance(self.preprocessing_in_graph, bool):
            raise WeightsError("preprocessing_in_graph is neither true nor false", where=self.name, fix=AGAIN)

    @property
    def input_shape(self) -> tuple[int | None, int, int, int]:
        """Shape of the graph's input; None for a free number of images."""
        channels, size = self.spec.in_channels, self.preprocess.size
        if self.preprocessing_in_graph:
            return (self.batch, size, size, channels)
        return (self.batch, channels, size, size)

    @property
    def input_dtype(self) -> Literal["uint8", "float32"]:
        """Type of the graph's input."""
        return "uint8" if self.preprocessing_in_graph else "float32"

    def describe(self) -> str:
        """Return one line for people: `efficientnet_lite0, onnx fp32, any batch, 224 px, ...`."""
        batch = "any batch" if self.batch is None else f"batch {self.batch}"
        pixels = "takes pixels" if self.preprocessing_in_graph else "takes normalised images"
        return f"{self.name}, {self.format} {self.precision}, {batch}, {pixels}, {self.preprocess.describe()}"

    def to_json(self) -> str:
        """Return the one text of this manifest."""
        values = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return dumps(
            {"version": VERSION, **values, "spec": self.spec.to_dict(), "preprocess": self.preprocess.to_dict()}
        )

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "manifest") -> Self:
        """Read what `to_json` wrote.

        Raises:
            WeightsError: it is damaged, or from a newer version.
        """
        data = loads(text, where)
        if (version := data.pop("version", None)) != VERSION:
            what = f"is a manifest of version {version!r}, this effnet reads {VERSION}"
            raise WeightsError(what, where=where, fix="pip install --upgrade effnet")
        try:
            data["spec"] = NetworkSpec.from_dict(mapping(data.get("spec"), "spec"))
            data["preprocess"] = Preprocess.from_dict(mapping(data.get("preprocess"), "preprocess"))
            if isinstance(labels := data.get("labels"), list):
                data["labels"] = tuple(labels)
            for name in ("source", "versions"):
                mapping(data.get(name), name)
            return build(cls, data, where)
        except (SpecError, WeightsError) as error:
            place = f"{where} ({error.where})" if error.where and error.where != where else where
            raise WeightsError(f"is damaged: {error.what}", where=place, fix=error.fix or AGAIN) from None
