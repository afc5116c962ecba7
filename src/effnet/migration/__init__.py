"""Other libraries' ways of asking for these networks: code written for them runs with only its import changed.

`lukemelas` has the class of EfficientNet-PyTorch, `torchvision` the builders and weights enums of torchvision.models,
`timm` the door `create_model`. Each is a thin layer over `effnet.create`; what they return is an `effnet.Network`, so
prediction, training, saving and export work with it. `import effnet.models` is the short way to torchvision's.
"""
