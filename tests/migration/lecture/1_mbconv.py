import torch
import torch.nn as nn


class MBConv(nn.Module):
    """확장 -> depthwise 3x3 -> SE -> 축소, 그리고 skip connection"""

    def __init__(self, in_ch, out_ch, expand_ratio=6, stride=1, se_ratio=0.25):
        super().__init__()
        mid, squeezed = in_ch * expand_ratio, max(1, int(in_ch * se_ratio))
        self.use_residual = stride == 1 and in_ch == out_ch
        expand = [nn.Conv2d(in_ch, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.SiLU()] if expand_ratio != 1 else []
        depthwise = [
            nn.Conv2d(mid, mid, 3, stride, padding=1, groups=mid, bias=False),
            nn.BatchNorm2d(mid),
            nn.SiLU(),
        ]
        self.main = nn.Sequential(*expand, *depthwise)
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(mid, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, mid, 1), nn.Sigmoid()
        )
        self.project = nn.Sequential(nn.Conv2d(mid, out_ch, 1, bias=False), nn.BatchNorm2d(out_ch))

    def forward(self, x):
        out = self.main(x)
        out = self.project(out * self.se(out))
        return out + x if self.use_residual else out


by_hand = MBConv(16, 24, expand_ratio=6, stride=2)
print(by_hand(torch.randn(2, 16, 112, 112)).shape)  # torch.Size([2, 24, 56, 56])
print(sum(p.numel() for p in by_hand.parameters()))  # 6004
