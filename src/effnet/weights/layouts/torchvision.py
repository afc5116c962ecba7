"""torchvision's names, which are also ours; only its ResNets are called otherwise.

EfficientNet                            ResNet
features.0.0 / features.0.1             conv1 / bn1
features.S.J.block.K.0 / .1             layerS.J.convK / .bnK
features.S.J.block.K.fc1 / .fc2         layerS.J.downsample.0 / .1
features.{stages + 1}.0 / .1            -
classifier.1                            fc
"""

from __future__ import annotations

from collections.abc import Mapping

from effnet.spec import NetworkSpec
from effnet.weights.layouts.layout import TORCH_TENSORS, Layout
from effnet.weights.layouts.parts import Part, is_resnet, parts


def resnet_prefix(part: Part) -> str:
    """Return ResNet's own name of a part (torchvision's and timm's)."""
    norm = part.kind == "norm"
    if part.block is None:
        return {"stem": "bn1" if norm else "conv1", "classifier": "fc"}[part.role]
    path = f"layer{part.block.stage}.{part.block.index}"
    if part.role == "shortcut":
        return f"{path}.downsample.{1 if norm else 0}"
    number = part.role.removeprefix("conv")
    return f"{path}.{'bn' if norm else 'conv'}{number}"


def _prefix(part: Part, spec: NetworkSpec) -> str:
    return resnet_prefix(part) if is_resnet(spec) else part.native


def _canonical(names: tuple[str, ...], spec: NetworkSpec) -> Mapping[str, str]:
    if not is_resnet(spec) or "features.0.0.weight" not in names:
        return {name: name for name in names}
    renamed = {part.native: resnet_prefix(part) for part in parts(spec)}

    def canonical(name: str) -> str:
        layer, _, tensor = name.rpartition(".")
        return f"{renamed[layer]}.{tensor}" if layer in renamed else name

    return {name: canonical(name) for name in names}


LAYOUT = Layout(
    name="torchvision",
    prefix=_prefix,
    tensors=TORCH_TENSORS,
    marks=(r"features\.0\.0\.weight", r"layer1\.0\.conv1\.weight"),
    canonical=_canonical,
)
