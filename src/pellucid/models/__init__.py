"""Networks with their preprocessing and classes, and the door through which they are loaded."""

from pellucid.models.catalogue import ModelInfo, available
from pellucid.models.classification import Classifier
from pellucid.models.loading import load
from pellucid.models.preprocessing import Preprocessing

__all__ = ["Classifier", "ModelInfo", "Preprocessing", "available", "load"]
