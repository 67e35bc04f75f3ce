"""Pellucid trains, scores and opens up vision networks.

>>> import pellucid
>>> model = pellucid.load()
>>> model.predict(["cat.jpg"])[0].top(3)
>>> pellucid.explain.attribute(model, "cat.jpg", "tabby", method="grad_cam").map
>>> truths = pellucid.open_dataset("coco:val.json", as_annotated=True)
>>> pellucid.metrics.evaluate(truths, pellucid.data.read_predictions("results.json", truths), "coco").summary
"""

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from pellucid.errors import PellucidError

if TYPE_CHECKING:
    from pellucid import data, explain, metrics
    from pellucid.data import open_dataset
    from pellucid.models import available, load

__all__ = ["PellucidError", "available", "data", "explain", "load", "metrics", "open_dataset"]

__version__ = _version("pellucid")

# Loaded when first asked for: `import pellucid` and `pellucid --help` import no torch.
_LAZY = {
    "load": "pellucid.models",
    "available": "pellucid.models",
    "open_dataset": "pellucid.data",
    "data": "",
    "explain": "",
    "metrics": "",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pellucid' has no attribute '{name}'")
    module = _LAZY[name]
    return getattr(importlib.import_module(module), name) if module else importlib.import_module(f"pellucid.{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
