"""Reading photos: every mode and format, and one clear line for everything that is no photo."""

import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from pellucid.errors import PellucidError
from pellucid.structures import read_photo
from pellucid.structures.photo import MAX_PIXELS

RNG = np.random.default_rng(0)
SMOOTH = np.stack([*np.meshgrid(np.linspace(0, 255, 40), np.linspace(0, 255, 30)), np.full((30, 40), 128.0)], -1)
SMOOTH = SMOOTH.round().astype(np.uint8)
"""(30, 40, 3): red grows to the right, green downwards."""


def refused(photo: object) -> str:
    with pytest.raises(PellucidError) as caught:
        read_photo(photo)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pixels(photo: object) -> np.ndarray:
    tensor = read_photo(photo)  # type: ignore[arg-type]
    assert tensor.dtype == torch.uint8
    assert tensor.shape[0] == 3
    return tensor.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".tga"])
def test_lossless_formats_are_read_exactly(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(SMOOTH).save(path)
    assert np.array_equal(pixels(path), SMOOTH)
    assert np.array_equal(pixels(str(path)), SMOOTH)


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {"quality": 95}), (".webp", {"quality": 95}), (".gif", {})])
def test_lossy_formats_are_read_closely(tmp_path, suffix, options):
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(SMOOTH).save(path, **options)
    assert np.abs(pixels(path).astype(int) - SMOOTH).mean() < 8


def test_gray_and_bilevel_fill_all_channels(tmp_path):
    for mode in ("L", "1"):
        image = Image.fromarray(SMOOTH).convert(mode)
        image.save(tmp_path / "photo.png")
        expected = np.repeat(np.asarray(image.convert("L"))[:, :, None], 3, 2)
        assert np.array_equal(pixels(tmp_path / "photo.png"), expected)


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[0, :, 3] = [0, 128, 255]
    image = Image.fromarray(rgba)
    image.save(tmp_path / "rgba.png")
    row = pixels(tmp_path / "rgba.png")[0]
    assert row[0].tolist() == [255, 255, 255]
    assert row[1].tolist() == pytest.approx([227, 127, 127], abs=1)
    assert row[2].tolist() == [200, 0, 0]
    assert np.array_equal(pixels(rgba), pixels(tmp_path / "rgba.png"))
    scaled = read_photo(rgba.astype(np.float32) / 255)
    assert torch.allclose(scaled, torch.from_numpy(pixels(rgba).copy()).permute(2, 0, 1) / 255, atol=1.01 / 255)


def test_transparency_of_other_modes(tmp_path):
    la = Image.new("LA", (2, 1))
    la.putpixel((0, 0), (10, 0))
    la.putpixel((1, 0), (10, 255))
    assert pixels(la)[0].tolist() == [[255] * 3, [10] * 3]
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=1)
    palette.save(tmp_path / "p.gif", transparency=1)
    for name in ("p.png", "p.gif"):
        assert pixels(tmp_path / name)[0].tolist() == [[255, 0, 0], [255, 255, 255]]
    rgb = Image.new("RGB", (2, 1), (9, 9, 9))
    rgb.putpixel((0, 0), (1, 2, 3))
    rgb.save(tmp_path / "keyed.png", transparency=(1, 2, 3))
    assert pixels(tmp_path / "keyed.png")[0].tolist() == [[255] * 3, [9] * 3]


def test_colour_spaces_agree_with_rgb(tmp_path):
    image = Image.fromarray(SMOOTH)
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    for other, tolerance in (
        (image.convert("YCbCr"), 4),
        (image.convert("HSV"), 8),
        (image.convert("CMYK"), 0),
        (ImageCms.applyTransform(image, ImageCms.buildTransform(srgb, lab, "RGB", "LAB")), 60),
    ):
        difference = np.abs(pixels(other).astype(int) - SMOOTH)
        assert difference.max() <= tolerance, other.mode


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    Image.new("RGB", (16, 16), (250, 20, 30)).convert("CMYK").save(tmp_path / "photo.jpg", quality=100)
    assert pixels(tmp_path / "photo.jpg")[8, 8].tolist() == pytest.approx([250, 20, 30], abs=6)


@pytest.mark.parametrize(("suffix", "dtype"), [(".tif", "<u2"), (".tif", ">u2"), (".png", "<u2")])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, dtype, suffix):
    deep = (np.arange(256, dtype=np.uint16)[None] * 257).astype(dtype)
    image = Image.fromarray(deep)
    assert pixels(image)[0, :, 0].tolist() == list(range(256))
    image.save(tmp_path / f"deep{suffix}")
    assert pixels(tmp_path / f"deep{suffix}")[0, :, 0].tolist() == list(range(256))
    assert np.array_equal(pixels(deep.astype(np.uint16)), pixels(image))


def test_32_bit_modes_go_by_their_range(tmp_path):
    eight = Image.fromarray(np.array([[0, 200, 255]], np.int32))
    assert pixels(eight)[0, :, 0].tolist() == [0, 200, 255]
    sixteen = Image.fromarray(np.array([[0, 51200, 65535]], np.int32))
    assert pixels(sixteen)[0, :, 0].tolist() == [0, 200, 255]
    assert "no known white" in refused(Image.fromarray(np.array([[-1, 5]], np.int32)))
    Image.fromarray(np.array([[0.0, 0.25, 1.0]], np.float32)).save(tmp_path / "unit.tif")
    assert read_photo(tmp_path / "unit.tif")[2, 0].tolist() == [0.0, 0.25, 1.0]
    Image.fromarray(np.array([[0.0, 100.4, 255.0]], np.float32)).save(tmp_path / "bytes.tif")
    assert pixels(tmp_path / "bytes.tif")[0, :, 0].tolist() == [0, 100, 255]
    Image.fromarray(np.array([[0.0, np.nan]], np.float32)).save(tmp_path / "nan.tif")
    assert "nan.tif" in refused(tmp_path / "nan.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    # each orientation stores the upright picture turned; turning SMOOTH so gives what the file must hold
    stored = {
        1: SMOOTH,
        2: SMOOTH[:, ::-1],
        3: SMOOTH[::-1, ::-1],
        4: SMOOTH[::-1],
        5: SMOOTH.transpose(1, 0, 2),
        6: np.rot90(SMOOTH),
        7: SMOOTH[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(SMOOTH, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(
        path, exif=exif, **({"quality": 100} if suffix == ".jpg" else {})
    )
    assert pixels(path).shape == SMOOTH.shape
    assert np.abs(pixels(path).astype(int) - SMOOTH).max() <= (12 if suffix == ".jpg" else 0)
    with Image.open(path) as image:
        assert np.array_equal(pixels(image), pixels(path))


def test_damaged_exif_does_not_lose_the_photo(tmp_path):
    Image.fromarray(SMOOTH).save(tmp_path / "photo.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 20)
    assert np.array_equal(pixels(tmp_path / "photo.png"), SMOOTH)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tif", ".png"])
def test_the_first_frame_of_several(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    path = tmp_path / f"moving{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == ".webp" else {}))
    assert pixels(path)[4, 4].tolist() == [255, 0, 0]


def test_one_pixel_and_very_wide(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "one.png")
    assert pixels(tmp_path / "one.png").tolist() == [[[1, 2, 3]]]
    Image.new("RGB", (12_000, 3)).save(tmp_path / "wide.png")
    assert pixels(tmp_path / "wide.png").shape == (3, 12_000, 3)


def test_arrays_and_tensors():
    assert np.array_equal(pixels(SMOOTH), SMOOTH)
    assert np.array_equal(pixels(SMOOTH[:, ::-1]), SMOOTH[:, ::-1])
    assert np.array_equal(pixels(SMOOTH[:, :, 0])[..., 2], SMOOTH[:, :, 0])
    assert np.array_equal(pixels(SMOOTH[:, :, :1])[..., 1], SMOOTH[:, :, 0])
    assert np.array_equal(pixels(SMOOTH[:, :, 0] > 99)[..., 0], (SMOOTH[:, :, 0] > 99) * 255)
    assert np.array_equal(pixels(torch.from_numpy(SMOOTH).permute(2, 0, 1)), SMOOTH)
    for dtype in (np.float16, np.float32, np.float64):
        photo = read_photo((SMOOTH / 255).astype(dtype))
        assert photo.dtype == torch.float32
        assert torch.allclose(photo[0], torch.from_numpy(SMOOTH[:, :, 0]) / 255, atol=1e-3)
    assert read_photo(torch.rand(1, 4, 5, dtype=torch.float64)).shape == (3, 4, 5)


def test_reading_an_array_leaves_it_alone():
    array = SMOOTH.copy()
    read_photo(array).fill_(0)
    assert np.array_equal(array, SMOOTH)


def test_float_tensors_keep_their_graph():
    photo = torch.rand(3, 4, 5, requires_grad=True)
    read_photo(photo).sum().backward()
    assert torch.equal(photo.grad, torch.ones(3, 4, 5))


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        (np.zeros((3, 20, 30), np.uint8), "channels last"),
        (np.zeros((20, 30, 2), np.uint8), "(20, 30, 2)"),
        (np.zeros((0, 30, 3), np.uint8), "(0, 30, 3)"),
        (np.zeros(5, np.uint8), "(5,)"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4), complex), "complex"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4, 3), np.inf), "infinite"),
        (np.full((4, 4, 3), 200.0), "divide by 255"),
        (np.full((4, 4, 3), -0.5), "normalisation"),
        (torch.zeros(20, 30, 3), "channels first"),
        (torch.zeros(20, 30), "(20, 30)"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "int64"),
        (torch.full((3, 4, 4), 1.5), "[0, 1]"),
        (torch.full((3, 4, 4), torch.nan), "NaN"),
        (None, "NoneType"),
        ([1, 2], "list"),
    ],
)
def test_wrong_shapes_types_and_values(photo, said):
    assert said in refused(photo)


def test_missing_file_names_the_nearest(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "cat.jpg")
    assert "did you mean 'cat.jpg'" in refused(tmp_path / "cta.jpg")
    assert "no such file" in refused(tmp_path / "nowhere" / "cat.jpg")
    assert "no such file" in refused("") or "folder" in refused("")
    assert "not a file name" in refused("a\0b.jpg")
    assert "cannot be read" in refused("x" * 5000 + ".jpg")


def test_folders_pipes_and_empty_files(tmp_path):
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "empty.jpg").touch()
    assert "empty" in refused(tmp_path / "empty.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        assert "not a regular file" in refused(tmp_path / "pipe.jpg")


def test_permission_denied(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (2, 2)).save(path)

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", deny)  # the tests may run as root, who may read everything
    message = refused(path)
    assert "Permission denied" in message
    assert "photo.jpg" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "SVG"),
        (b"%PDF-1.7\n...", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"PK\x03\x04....", "archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"just some notes\n", "text"),
        (bytes(range(200)), "not an image"),
    ],
)
def test_what_is_not_an_image_is_named(tmp_path, content, said):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert said in refused(path)
    assert "photo.jpg" in refused(path)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rest = b"".join(chunk(*c) for c in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + rest
        + chunk(b"IDAT", zlib.compress(b"\0" * 10))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(20_000, 10_000), (60_000, 60_000), (MAX_PIXELS + 1, 1)])
def test_decompression_bombs_are_refused_by_their_header(tmp_path, width, height, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(png(width, height))

    def decode(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decode)
    for limit in (Image.MAX_IMAGE_PIXELS, None):  # whatever the caller set
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert f"more than the {MAX_PIXELS:,} pixels" in refused(tmp_path / "bomb.png")


def test_large_photos_below_the_limit_are_read_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 900
    )  # SMOOTH has 1,200 pixels: Pillow warns from 900, refuses from 1,800
    Image.fromarray(SMOOTH).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(pixels(tmp_path / "large.png"), SMOOTH)


def test_text_bomb(tmp_path):
    text = b"comment\0\0" + zlib.compress(b"x" * 8_000_000)
    (tmp_path / "bomb.png").write_bytes(png(4, 4, (b"zTXt", text)))
    assert "without metadata" in refused(tmp_path / "bomb.png")


def test_truncated_photo(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    message = refused(tmp_path / "cut.jpg")
    assert "cut short" in message
    assert "cut.jpg" in message


def _encoded() -> dict[str, bytes]:
    image = Image.fromarray(RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    encoded = {}
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        buffer = io.BytesIO()
        image.save(buffer, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}))
        encoded[kind] = buffer.getvalue()
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression="tiff_lzw")
    encoded["TIFF LZW"] = buffer.getvalue()
    return encoded


ENCODED = _encoded()


@pytest.mark.parametrize("kind", ENCODED)
@given(data=st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bad_bytes_raise_nothing_else(kind, data, tmp_path):
    content = bytearray(ENCODED[kind])
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6), label="changes"
    ):
        content[position] = value
    content = content[: data.draw(st.integers(1, len(content)), label="length")]
    path = tmp_path / "photo.img"
    path.write_bytes(content)
    message, photo = None, None
    try:
        photo = read_photo(path)
    except PellucidError as error:
        message = str(error)
    if photo is None:
        assert "photo.img" in str(message)
        assert "\n" not in str(message)
    else:
        assert photo.shape[0] == 3
        assert photo.dtype in (torch.uint8, torch.float32)
