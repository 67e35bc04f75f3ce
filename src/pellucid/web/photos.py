"""Photos that were uploaded: their names made harmless, their store in memory."""

import secrets
import threading
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from torch import Tensor

from pellucid.explain import Explanation, Objective
from pellucid.explain.subject import Subject
from pellucid.structures import Annotations
from pellucid.web.limits import AnswerError, Limits

FORGOTTEN = "this photo was forgotten; drop it again"
_NAME_LENGTH = 80
_NAMELESS = "the photo"
_EXPLANATIONS = 8
"""How many explanations of a photo are remembered, for their check."""


def harmless_name(name: str | None) -> str:
    """A file's own name as plain text: its last part, without control characters, at most 80 characters.

    It is only ever shown: no path is made of it.
    """
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    # Cc and Cf: control characters and those that turn the direction of writing; Cs, Co, Cn: what is no character
    shown = "".join(c for c in last if unicodedata.category(c)[0] not in "CZ" or c == " ")
    shown = " ".join(shown.split())
    if len(shown) > _NAME_LENGTH:
        shown = shown[: _NAME_LENGTH - 13] + "…" + shown[-12:]
    return shown or _NAMELESS


@dataclass
class Explained:
    """An explanation that was given, with what its check needs."""

    explanation: Explanation
    objective: Objective
    thresholds: dict[str, float]


@dataclass
class Kept:
    """A photo, and what is known of it.

    ``pixels``: (3, H, W). ``picture``: a reduced JPEG of it, to be shown. ``subject``: keeps the one pass. ``chosen``:
    what the model says by the last few thresholds, boxes alone; ``whole``: with masks and keypoints.
    """

    id: str
    name: str
    pixels: Tensor
    picture: bytes
    subject: Subject
    seconds: float
    chosen: OrderedDict[tuple[float, ...], Annotations] = field(default_factory=OrderedDict)
    whole: OrderedDict[tuple[float, ...], Annotations] = field(default_factory=OrderedDict)
    explained: OrderedDict[str, Explained] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def said(self) -> Annotations:
        """What the model says of it by its own thresholds."""
        return self.subject.keep()[0]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)"""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def remember(self, one: Explained) -> str:
        """Keeps an explanation; returns its token."""
        token = secrets.token_urlsafe(9)
        with self.lock:
            self.explained[token] = one
            while len(self.explained) > _EXPLANATIONS:
                self.explained.popitem(last=False)
        return token

    def explanation(self, token: str) -> Explained:
        """Raises AnswerError where there is none."""
        with self.lock:
            found = self.explained.get(token)
        if found is None:
            raise AnswerError(404, "this explanation was forgotten; ask for it again")
        return found


class PhotoStore:
    """The last few photos by an unguessable token; the one that was not asked for longest is forgotten first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._kept: OrderedDict[str, tuple[Kept, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def add(self, photo: Kept) -> None:
        """Keeps a photo, and forgets others for it."""
        size = memory_of(photo)
        with self._lock:
            self._kept[photo.id] = (photo, size)
            while len(self._kept) > 1 and (len(self._kept) > self.limits.photos or self._bytes() > self.limits.memory):
                self._kept.popitem(last=False)

    def _bytes(self) -> int:
        return sum(size for _, size in self._kept.values())

    def get(self, token: str) -> Kept:
        """Raises AnswerError where there is none."""
        with self._lock:
            if token not in self._kept:
                raise AnswerError(404, FORGOTTEN)
            self._kept.move_to_end(token)
            return self._kept[token][0]

    def forget(self, token: str) -> None:
        """Raises AnswerError where there is none."""
        with self._lock:
            if self._kept.pop(token, None) is None:
                raise AnswerError(404, FORGOTTEN)


def new_token() -> str:
    """A name that nobody guesses."""
    return secrets.token_urlsafe(16)


def memory_of(photo: Kept) -> int:
    """The bytes of all tensors that a photo keeps alive beside the network's own, each memory once."""
    network = {parameter.untyped_storage().data_ptr() for parameter in photo.subject.model.parameters()}
    storages: dict[int, int] = {}
    _gather([photo.pixels, photo.subject.frame, photo.subject.kept], storages, set())
    return len(photo.picture) + sum(size for pointer, size in storages.items() if pointer not in network)


def _gather(value: Any, storages: dict[int, int], seen: set[int]) -> None:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    elif isinstance(value, dict):
        for one in value.values():
            _gather(one, storages, seen)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _gather(one, storages, seen)
    elif is_dataclass(value):
        for name in {*(f.name for f in fields(value)), *getattr(value, "__dict__", {})}:
            _gather(getattr(value, name, None), storages, seen)
    elif type(value).__module__.startswith("pellucid.") and not hasattr(value, "parameters"):
        _gather(getattr(value, "__dict__", {}), storages, seen)
