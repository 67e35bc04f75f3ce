"""Photos read ahead by a thread, while the network is busy with those before."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.structures import Photo, Sample, read_photo


def read_ahead(
    photos: Sequence[Photo | Sample], ahead: int, *, as_they_are: bool
) -> Generator[Tensor | PellucidError, None, None]:
    """The photos one after another, uint8 or float (3, H, W), or why one could not be read; ``ahead`` wait ready.

    ``as_they_are``: float tensors are the network's own input, whatever their range, and are not checked as photos.
    Close the generator to end the thread.
    """

    def read(photo: Photo | Sample) -> Tensor | PellucidError:
        if as_they_are and isinstance(photo, Tensor) and photo.is_floating_point() and photo.ndim == 3:
            return photo
        try:
            return photo.read_image() if isinstance(photo, Sample) else read_photo(photo)
        except PellucidError as error:
            return error

    waiting: deque[Future[Tensor | PellucidError]] = deque()
    with ThreadPoolExecutor(1) as thread:
        try:
            for photo in photos:
                waiting.append(thread.submit(read, photo))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)
