"""From the bytes of an upload to a kept photo: decoding, and the one pass through the network."""

import time
from collections.abc import Callable
from typing import Any

from pellucid.explain.subject import Subject
from pellucid.models import PhotoModel
from pellucid.structures.photo import photo_from_bytes
from pellucid.web.choosing import objects_json, reported, thresholds_of
from pellucid.web.photos import Kept, new_token
from pellucid.web.pictures import shown

_CLASSES = 5
"""How many classes of a classifier are told."""


def seen(model: PhotoModel, data: bytes, name: str, limit: int, go_on: Callable[[], None]) -> Kept:
    """A photo, decoded and looked at by the model.

    Raises PellucidError, with the photo's name, for what is no photo or has more pixels than ``limit``.
    """
    go_on()
    pixels = photo_from_bytes(data, name, limit)
    go_on()
    began = time.perf_counter()
    subject = Subject(model, pixels)
    subject.keep()
    seconds = time.perf_counter() - began
    return Kept(new_token(), name, pixels, shown(pixels), subject, seconds)


def photo_json(model: PhotoModel, photo: Kept) -> dict[str, Any]:
    """What the model says of a photo, as the page gets it, but for the time that it waited."""
    H, W = photo.size
    said = reported(model, photo, {}, parts=True)
    top = said.top(_CLASSES) if said.logits is not None else []
    return {
        "id": photo.id,
        "name": photo.name,
        "width": W,
        "height": H,
        "seconds": round(photo.seconds, 3),
        "thresholds": thresholds_of(model),
        "objects": objects_json(model, said),
        "classes": [{"name": one.name, "probability": round(one.probability, 6)} for one in top],
    }
