import time

import torch
import torch.nn as nn
from torchvision import models

networks = {
    "EfficientNet-B0": models.efficientnet_b0(weights=models.EfficientNet_B0_Weights.DEFAULT),
    "ResNet-50": models.resnet50(weights=models.ResNet50_Weights.DEFAULT),
}
networks["EfficientNet-B0"].classifier[1] = nn.Linear(1280, 10)
networks["ResNet-50"].fc = nn.Linear(networks["ResNet-50"].fc.in_features, 10)

images = torch.randn(4, 3, 224, 224)
for name, network in networks.items():
    network.eval()
    with torch.no_grad():
        network(images)  # 준비 운동
        start = time.perf_counter()
        outputs = network(images)
        elapsed = (time.perf_counter() - start) * 1000
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"{name}: {parameters:.1f}M parameters, {elapsed:.0f} ms, output {tuple(outputs.shape)}")
