"""One image of a data set with what is said of it, each read when it is asked for."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from torch import Tensor

from pellucid.structures.annotations import Annotations
from pellucid.structures.photo import Photo, read_photo


class Sample:
    """One image and its annotations.

    ``name``: unique in its data set, a relative path such as ``val2017/000000000139.jpg``. ``path``: the image's file,
    None for a generated one. ``id``: the source's own, if it has one. ``image``, uint8 (3, H, W), and ``annotations``
    are read at first use and then kept; both raise PellucidError for what cannot be read.
    """

    def __init__(
        self,
        name: str,
        image: Photo | Callable[[], Tensor],
        annotations: Annotations | Callable[[], Annotations],
        *,
        path: Path | None = None,
        id: int | str | None = None,
    ) -> None:
        self.name = name
        self.path = path if path is not None or not isinstance(image, (str, Path)) else Path(image)
        self.id = id
        self._image = image
        self._annotations = annotations

    @cached_property
    def image(self) -> Tensor:
        """uint8 (3, H, W), RGB."""
        return self.read_image()

    def read_image(self) -> Tensor:
        """The image as ``image`` gives it, read anew and not kept."""
        if isinstance(self._image, Tensor) or not callable(self._image):
            return read_photo(self._image)
        return self._image()

    @cached_property
    def annotations(self) -> Annotations:
        """What is said of the image."""
        return self._annotations if isinstance(self._annotations, Annotations) else self._annotations()

    def __repr__(self) -> str:
        return f"Sample({self.name!r})"
