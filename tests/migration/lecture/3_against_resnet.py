import torchvision.models as models

builders = {
    "ResNet-50": (models.resnet50, "IMAGENET1K_V2"),
    "EfficientNet-B0": (models.efficientnet_b0, "IMAGENET1K_V1"),
    "EfficientNet-B4": (models.efficientnet_b4, "IMAGENET1K_V1"),
    "EfficientNetV2-S": (models.efficientnet_v2_s, "IMAGENET1K_V1"),
}
for name, (build, weights) in builders.items():
    parameters = sum(p.numel() for p in build(weights=weights).parameters())
    print(f"{name:20s} {parameters / 1e6:6.1f}M")  # 25.6M  5.3M  19.3M  21.5M
