"""Networks with their preprocessing and classes, and the door through which they are loaded."""

from pellucid.models.base import Detector, PhotoModel
from pellucid.models.catalogue import ModelInfo, available
from pellucid.models.classification import Classifier
from pellucid.models.loading import load
from pellucid.models.preprocessing import Preprocessing
from pellucid.models.recipes import build

__all__ = ["Classifier", "Detector", "ModelInfo", "PhotoModel", "Preprocessing", "available", "build", "load"]
