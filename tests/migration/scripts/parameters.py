from torchvision import models


def count_parameters(model):
    return sum(p.numel() for p in model.parameters())


for name in ["efficientnet_b0", "efficientnet_b3", "efficientnet_v2_s", "resnet50"]:
    model = models.get_model(name, weights=None)
    print(f"{name}: {count_parameters(model) / 1e6:.1f}M")
