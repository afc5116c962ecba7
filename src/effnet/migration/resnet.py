"""torchvision's layer names of ResNet, so that `model.fc = nn.Linear(model.fc.in_features, 10)` works."""

from __future__ import annotations

from typing import ClassVar

from effnet.migration.renamed import RenamedNetwork


class ResNet(RenamedNetwork):
    """ResNet-18 to 152 that answers to `conv1`, `bn1`, `layer1` to `layer4` and `fc`; blocks have our names inside."""

    layout = "torchvision"
    names: ClassVar = {
        "conv1": "features.0.0",
        "bn1": "features.0.1",
        "relu": "features.0.2",
        "maxpool": "features.0.3",
        **{f"layer{number}": f"features.{number}" for number in (1, 2, 3, 4)},
        "fc": "classifier.1",
    }
