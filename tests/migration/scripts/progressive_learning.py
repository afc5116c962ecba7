import torch
import torch.nn as nn
import torch.nn.functional as F
from torchvision.models import efficientnet_v2_s

model = efficientnet_v2_s(weights=None, num_classes=10, dropout=0.1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
images, labels = torch.randn(4, 3, 128, 128), torch.tensor([0, 1, 2, 3])

# 점진적 학습: 작은 이미지와 약한 규제에서 시작해 함께 키운다
for size, dropout in [(64, 0.1), (96, 0.2), (128, 0.3)]:
    model.classifier[0] = nn.Dropout(dropout)
    resized = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    loss = F.cross_entropy(model(resized), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"size {size}, dropout {dropout}: loss {loss.item():.3f}")
