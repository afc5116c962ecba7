import torch
from PIL import Image
from torchvision.models import EfficientNet_B0_Weights, efficientnet_b0

weights = EfficientNet_B0_Weights.DEFAULT
model = efficientnet_b0(weights=weights).eval()
preprocess = weights.transforms()  # 가중치가 학습된 방식 그대로 전처리한다

batch = preprocess(Image.open("photo.jpg")).unsqueeze(0)
with torch.no_grad():
    probabilities = model(batch).softmax(dim=1)[0]
for score, index in zip(*probabilities.topk(5)):
    print(f"{weights.meta['categories'][index]}: {score:.1%}")
