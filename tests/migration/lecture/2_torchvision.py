import torch
import torch.nn as nn
import torchvision.models as models

effnet_b0 = models.efficientnet_b0(weights="IMAGENET1K_V1")
effnet_b4 = models.efficientnet_b4(weights="IMAGENET1K_V1")
effnet_v2s = models.efficientnet_v2_s(weights="IMAGENET1K_V1")
for model in (effnet_b0, effnet_b4, effnet_v2s):
    print(f"{sum(p.numel() for p in model.parameters()):,}")  # 5,288,548  19,341,616  21,458,488

effnet_b0.classifier[1] = nn.Linear(1280, 10)  # 10 클래스 파인튜닝
effnet_b0.eval()
with torch.no_grad():
    print(effnet_b0(torch.randn(1, 3, 224, 224)).shape)  # torch.Size([1, 10])
