"""Where samples come from: every format in, one shape out."""

import importlib
from typing import TYPE_CHECKING, Any

from pellucid.data.dataset import Dataset, Holding, Samples
from pellucid.data.defects import DataWarning, Defect, Defects
from pellucid.data.opening import open_dataset

if TYPE_CHECKING:
    from pellucid.data.checking import check_dataset
    from pellucid.data.converting import convert
    from pellucid.data.loading import Loader, padded
    from pellucid.data.predictions import Predictions, read_predictions
    from pellucid.data.transforms import Transformed

__all__ = [
    "DataWarning",
    "Dataset",
    "Defect",
    "Defects",
    "Holding",
    "Loader",
    "Predictions",
    "Samples",
    "Transformed",
    "check_dataset",
    "convert",
    "open_dataset",
    "padded",
    "read_predictions",
]

# Loaded when first asked for: opening a data set needs none of them.
_LAZY = {
    "Loader": "loading",
    "Predictions": "predictions",
    "Transformed": "transforms",
    "check_dataset": "checking",
    "convert": "converting",
    "padded": "loading",
    "read_predictions": "predictions",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pellucid.data' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pellucid.data.{_LAZY[name]}"), name)
