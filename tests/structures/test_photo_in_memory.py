"""Photos whose files lie in memory."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.structures import read_photo
from pellucid.structures.photo import opened_bytes, photo_from_bytes


def encoded(format: str = "PNG", size: tuple[int, int] = (7, 5)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "WEBP"])
def test_bytes_are_read_as_their_file_is(format: str, tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(encoded(format))
    assert photo_from_bytes(encoded(format), "a").equal(read_photo(file))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"plain words", "text"),
        (encoded("JPEG", (200, 200))[:900], "cut short"),
    ],
)
def test_refusals_name_the_photo(data: bytes, words: str) -> None:
    with pytest.raises(PellucidError, match=f"^holiday.jpg: .*{words}"):
        photo_from_bytes(data, "holiday.jpg")


def test_a_limit_of_pixels_is_kept_before_decoding() -> None:
    data = encoded(size=(30, 20))
    assert photo_from_bytes(data, "a", 600).shape == (3, 20, 30)
    with pytest.raises(PellucidError, match="more than the 599 pixels"), opened_bytes(data, "a", 599):
        pass
