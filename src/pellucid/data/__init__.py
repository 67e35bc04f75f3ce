"""Where samples come from: every format in, one shape out."""

from pellucid.data.dataset import Dataset, Holding, Samples
from pellucid.data.defects import DataWarning, Defect, Defects
from pellucid.data.opening import open_dataset

__all__ = ["DataWarning", "Dataset", "Defect", "Defects", "Holding", "Samples", "open_dataset"]
