import torch
import torch.nn as nn


class SEBlock(nn.Module):
    """Squeeze-and-Excitation: 채널마다 중요도를 곱한다."""

    def __init__(self, channels, reduced):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Conv2d(channels, reduced, 1), nn.SiLU(), nn.Conv2d(reduced, channels, 1), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.fc(self.pool(x))


class MBConvBlock(nn.Module):
    """확장(1x1) -> depthwise -> SE -> 축소(1x1), 그리고 skip connection."""

    def __init__(self, in_ch, out_ch, kernel_size, stride, expand_ratio, se_ratio=0.25):
        super().__init__()
        hidden = in_ch * expand_ratio
        self.use_residual = stride == 1 and in_ch == out_ch
        layers = []
        if expand_ratio != 1:
            layers += [nn.Conv2d(in_ch, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.SiLU()]
        layers += [
            nn.Conv2d(hidden, hidden, kernel_size, stride, kernel_size // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.SiLU(),
            SEBlock(hidden, max(1, int(in_ch * se_ratio))),
            nn.Conv2d(hidden, out_ch, 1, bias=False),
            nn.BatchNorm2d(out_ch),
        ]
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.block(x) if self.use_residual else self.block(x)


by_hand = MBConvBlock(16, 24, kernel_size=3, stride=2, expand_ratio=6)
print(by_hand(torch.randn(2, 16, 112, 112)).shape)  # torch.Size([2, 24, 56, 56])
print(sum(p.numel() for p in by_hand.parameters()))
