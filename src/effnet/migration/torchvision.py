"""torchvision.models' builders for the networks that effnet has: `import effnet.models as models`."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from effnet.errors import InputError, UnknownNameError
from effnet.migration.torchvision_weights import WeightsEnum, weights_enum

if TYPE_CHECKING:
    from effnet.nn import Network

Builder: TypeAlias = "Callable[..., Network]"

_Entry = TypeVar("_Entry")

_WEIGHTS: dict[str, type[WeightsEnum]] = {}
_BUILDERS: dict[str, Builder] = {}

# torchvision's keyword -> that of `effnet.create`
_OPTIONS = {"num_classes": "classes", "dropout": "dropout", "stochastic_depth_prob": "drop_path"}

# done to the network that was made
_CHANGES = ("norm_layer", "zero_init_residual", "replace_stride_with_dilation")
_RESNET_ONLY = _CHANGES[1:]


def builder(name: str, weights_name: str) -> tuple[Builder, type[WeightsEnum]]:
    """Return torchvision's function `name` and its enum of weights, and register both under these names."""
    enum = weights_enum(weights_name, name)

    def build(weights: Any = None, progress: bool = True, **kwargs: Any) -> Network:
        return _build(name, _chosen(enum, weights, kwargs), progress, kwargs)

    build.__name__ = build.__qualname__ = name
    build.__module__ = f"effnet.models.{'resnet' if name.startswith('resnet') else 'efficientnet'}"
    build.__annotations__["weights"] = enum | None
    build.__doc__ = f"""Return {name} as an `effnet.Network`.

        Args:
            weights: a member of `{weights_name}`, its name ("IMAGENET1K_V1", "DEFAULT"), or None for fresh weights.
            progress: whether to show a bar during a download, on a terminal.
            kwargs: `num_classes` (another number than the weights' begins with a fresh classifier), `dropout`,
                `stochastic_depth_prob`, `norm_layer`; for ResNets `zero_init_residual` and
                `replace_stride_with_dilation`; `pretrained=True` is the old form of the first published weights.

        Raises:
            UnknownNameError: no such weights or argument.
            WeightsError, DownloadError: the weights cannot be had.
        """
    _BUILDERS[name], _WEIGHTS[name] = build, enum
    return build, enum


def list_models(
    module: Any = None, include: str | Iterable[str] | None = None, exclude: str | Iterable[str] | None = None
) -> list[str]:
    """Return the names of the builders that match one of the shell patterns of `include` and none of `exclude`.

    Args:
        module: the package of the builders, `effnet.models`; of any other there are none.
        include, exclude: shell patterns; None or none at all: every builder, no builder.
    """

    def matches(name: str, patterns: str | Iterable[str]) -> bool:
        return any(fnmatch.fnmatch(name, p) for p in ([patterns] if isinstance(patterns, str) else patterns))

    package = None if module is None else getattr(module, "__name__", module)
    names = [n for n, build in _BUILDERS.items() if package in (None, build.__module__.rpartition(".")[0])]
    chosen = [name for name in names if not include or matches(name, include)]
    return sorted(name for name in chosen if not exclude or not matches(name, exclude))


def get_model_builder(name: str) -> Builder:
    """Return the builder called `name`.

    Raises:
        UnknownNameError: no such builder.
    """
    return _find(_BUILDERS, name)


def get_model(name: str, **config: Any) -> Network:
    """Return the network that the builder called `name` makes.

    Raises:
        UnknownNameError: no such builder; and what it raises.
    """
    return _find(_BUILDERS, name)(**config)


def get_model_weights(name: str | Builder) -> type[WeightsEnum]:
    """Return the enum of weights that belongs to a builder or its name.

    Raises:
        UnknownNameError: no such builder.
    """
    return _find(_WEIGHTS, name if isinstance(name, str) else getattr(name, "__name__", str(name)))


def get_weight(name: str) -> WeightsEnum:
    """Return the weights with a full name such as "EfficientNet_B0_Weights.IMAGENET1K_V1".

    Raises:
        UnknownNameError: there are no such weights.
    """
    enum_name, _, member = name.partition(".")
    enums = {enum.__name__: enum for enum in _WEIGHTS.values()}
    if enum_name not in enums:
        raise UnknownNameError.among("weights", name, enums)
    found = enums[enum_name].verify(member)
    assert found is not None
    return found


def _find(table: dict[str, _Entry], name: str) -> _Entry:
    found = table.get(name.lower())
    if found is None:
        raise UnknownNameError.among("model", name, table, see="effnet.create has every other network")
    return found


def _chosen(enum: type[WeightsEnum], weights: Any, kwargs: dict[str, Any]) -> WeightsEnum | None:
    """Return the weights meant, `pretrained` (also in the first place) included; `kwargs` loses it."""
    positional = isinstance(weights, bool)
    if positional:
        kwargs["pretrained"], weights = weights, None
    pretrained = kwargs.pop("pretrained", None)
    if pretrained is None:
        return enum.verify(weights)
    if weights is not None:
        raise InputError("weights and pretrained are both given", fix="leave out pretrained")
    first = next(iter(enum))
    new = f"{enum.__name__}.{first.name}" if pretrained else "None"
    how = "as a positional argument is deprecated" if positional else "is deprecated"
    warnings.warn(f"pretrained {how}, it is the old form; write weights={new}", stacklevel=4)
    return first if pretrained else None


def _build(name: str, weights: WeightsEnum | None, progress: bool, kwargs: dict[str, Any]) -> Network:
    from effnet.creation import create
    from effnet.migration.resnet import ResNet, dilate, zero_last_norms
    from effnet.migration.torchvision_efficientnet import EfficientNet, use_norms
    from effnet.weights.progress_bar import download_bar

    resnet = name.startswith("resnet")
    known = [*_OPTIONS, *(option for option in _CHANGES if resnet or option not in _RESNET_ONLY)]
    for given in kwargs:
        if given not in known:
            known = ["weights", "progress", "pretrained", *known]
            raise UnknownNameError.among(f"argument of {name}", given, known, see=f"known: {', '.join(known)}")
    changes = {given: kwargs[given] for given in _CHANGES if kwargs.get(given)}
    if weights is not None and "norm_layer" in changes:
        raise InputError("trained weights have their own norms", where="norm_layer", fix="leave it out, or the weights")
    options = {_OPTIONS[given]: value for given, value in kwargs.items() if given in _OPTIONS}
    with download_bar() as bar:
        tag = None if weights is None else weights.value
        network = create(name, weights=tag, progress=bar if progress else None, **options)
    made: Network = ResNet.of(network) if resnet else EfficientNet.of(network)
    if "norm_layer" in changes:
        use_norms(made, changes["norm_layer"])
    if "zero_init_residual" in changes and weights is None:
        zero_last_norms(made)
    if "replace_stride_with_dilation" in changes:
        dilate(made, changes["replace_stride_with_dilation"])
    return made
