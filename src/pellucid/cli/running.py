"""How ``evaluate`` runs a model, where it is given one in place of a truth."""

import os
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import PellucidError

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_BATCH = 4


@dataclass(frozen=True)
class Running:
    """The options that only a model takes."""

    batch_size: int | None = None
    device: str = "auto"
    classes: Path | None = None
    save: Path | None = None

    @property
    def batch(self) -> int:
        """Images at a time."""
        return self.batch_size or _BATCH

    def check_absent(self) -> None:
        """Raises PellucidError where one was given though there is no model."""
        given = {
            "--batch-size": self.batch_size,
            "--classes": self.classes,
            "--save": self.save,
            "--device": None if self.device == "auto" else self.device,
        }
        named = next((name for name, value in given.items() if value is not None), None)
        if named is not None:
            raise PellucidError(f"{named}: is of a model, and predictions were given; leave it out")


def is_model(text: str) -> bool:
    """Whether a text names a model rather than a data set: by its suffix, or as a name where there is no such file."""
    if text == "rcnn-imagenet" or text.startswith("torchvision/") or text.lower().endswith(_SUFFIXES):
        return True
    path = Path(text)
    beside = os.environ.get("PELLUCID_DATA")
    try:
        there = path.exists() or bool(beside and (Path(beside) / path).exists())
    except (OSError, ValueError):
        return False
    if there or ":" in text or text == "scenes" or path.suffix.lower() in (".json", ".csv", ".txt", ".yaml", ".xml"):
        return False
    # Known only to the libraries of networks, which take seconds to import.
    from pellucid.models.catalogue import resolve
    from pellucid.models.detectors import is_detector, is_recipe

    if is_detector(text) or is_recipe(text):
        return True
    try:
        resolve(text)
    except PellucidError:
        return False
    return True
