"""`timm.layers`: what these networks are made of, and `convert_sync_batchnorm`, which keeps their activations."""

from effnet.migration.timm_norms import BatchNormAct2d, SyncBatchNormAct, convert_sync_batchnorm
from effnet.migration.timm_pool import SelectAdaptivePool2d

__all__ = ["BatchNormAct2d", "SelectAdaptivePool2d", "SyncBatchNormAct", "convert_sync_batchnorm"]
