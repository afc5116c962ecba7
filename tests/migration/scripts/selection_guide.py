import torchvision.models as models


def choose(goal):
    """강의의 선택 가이드: 시제품 B0, 일반 B3-B4, 최고 정확도 B5-B7, 빠른 학습 V2-S."""
    guide = {
        "prototype": models.efficientnet_b0,
        "balanced": models.efficientnet_b3,
        "best": models.efficientnet_b7,
        "fast training": models.efficientnet_v2_s,
    }
    return guide[goal]


model = choose("prototype")(weights=None, num_classes=10)
print(type(model).__name__, sum(p.numel() for p in model.parameters()))
