"""What torchvision says of its weights beside accuracy: GFLOPS, megabytes of the file, smallest input, recipe."""

from __future__ import annotations

from collections.abc import Mapping

# tag -> (_ops, _file_size)
_FIGURES: Mapping[str, tuple[float, float]] = {
    "efficientnet_b0.tv_in1k_v1": (0.386, 20.451),
    "efficientnet_b1.tv_in1k_v1": (0.687, 30.134),
    "efficientnet_b1.tv_in1k_v2": (0.687, 30.136),
    "efficientnet_b2.tv_in1k_v1": (1.088, 35.174),
    "efficientnet_b3.tv_in1k_v1": (1.827, 47.184),
    "efficientnet_b4.tv_in1k_v1": (4.394, 74.489),
    "efficientnet_b5.tv_in1k_v1": (10.266, 116.864),
    "efficientnet_b6.tv_in1k_v1": (19.068, 165.362),
    "efficientnet_b7.tv_in1k_v1": (37.746, 254.675),
    "efficientnetv2_s.tv_in1k_v1": (8.366, 82.704),
    "efficientnetv2_m.tv_in1k_v1": (24.582, 208.01),
    "efficientnetv2_l.tv_in1k_v1": (56.08, 454.573),
    "resnet18.tv_in1k_v1": (1.814, 44.661),
    "resnet34.tv_in1k_v1": (3.664, 83.275),
    "resnet50.tv_in1k_v1": (4.089, 97.781),
    "resnet50.tv_in1k_v2": (4.089, 97.79),
    "resnet101.tv_in1k_v1": (7.801, 170.511),
    "resnet101.tv_in1k_v2": (7.801, 170.53),
    "resnet152.tv_in1k_v1": (11.514, 230.434),
    "resnet152.tv_in1k_v2": (11.514, 230.474),
}

_SOURCE = "https://github.com/pytorch/vision/"
_NEW = {
    "efficientnet_b1.tv_in1k_v2": "issues/3995#new-recipe-with-lr-wd-crop-tuning",
    "resnet50.tv_in1k_v2": "issues/3995#issuecomment-1013906621",
    "resnet101.tv_in1k_v2": "issues/3995#new-recipe",
    "resnet152.tv_in1k_v2": "issues/3995#new-recipe",
}

_LABELS = {
    134: "crane bird",
    263: "Pembroke",
    264: "Cardigan",
    517: "crane",
    639: "maillot tank suit",
}


def figures(tag: str) -> dict[str, object]:
    """Return `_ops`, `_file_size`, `min_size`, `recipe` and `_docs` of the weights with our `tag`."""
    ops, size = _FIGURES[tag]
    kind = "efficientnet-v2" if "v2_" in tag.partition(".")[0] else "efficientnet-v1"
    if tag.startswith("resnet"):
        kind = "resnet"
    return {
        "_ops": ops,
        "_file_size": size,
        "min_size": (33, 33) if kind == "efficientnet-v2" else (1, 1),
        "recipe": _SOURCE + _NEW.get(tag, f"tree/main/references/classification#{kind}"),
        "_docs": f"Trained on ImageNet-1K by torchvision ({tag}).",
    }


def categories(labels: tuple[str, ...]) -> list[str]:
    """Return the 1,000 labels as torchvision writes them, which differ from ours in five."""
    return [_LABELS.get(place, label) for place, label in enumerate(labels)]
