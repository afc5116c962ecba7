"""From a trained network to a certified bundle."""

from effnet.deploy.export.door import export

__all__ = ["export"]
