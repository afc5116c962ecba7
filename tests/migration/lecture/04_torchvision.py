import torch.nn as nn
import torchvision.models as models

model = models.efficientnet_b0(weights=models.EfficientNet_B0_Weights.IMAGENET1K_V1)

# 특징 추출부는 얼리고 분류기만 바꾼다
for param in model.features.parameters():
    param.requires_grad = False
model.classifier[1] = nn.Linear(1280, 10)

trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
total = sum(p.numel() for p in model.parameters())
print(f"trainable {trainable:,} / {total:,}")
