import torch
from efficientnet_pytorch import EfficientNet

model = EfficientNet.from_pretrained("efficientnet-b0", num_classes=10)
model.eval()
with torch.no_grad():
    print(model(torch.randn(1, 3, 224, 224)).shape)  # torch.Size([1, 10])
    print(model.extract_features(torch.randn(1, 3, 224, 224)).shape)  # torch.Size([1, 1280, 7, 7])

for name in ["efficientnet-b0", "efficientnet-b3", "efficientnet-b7"]:
    print(name, EfficientNet.get_image_size(name))  # 모델마다 원래 해상도가 다르다: 지키는 것이 좋다

model._fc = torch.nn.Linear(model._fc.in_features, 5)
print(model._fc)
