"""Every address of the server: what it answers, what it refuses, and that it lives on."""

import base64
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from pellucid.models import Detector
from pellucid.structures import read_photo
from pellucid.web import Limits

from .conftest import client_of, detector, drop, encoded, photo


def explain(client: TestClient, id: str, **asked: Any) -> Any:
    return client.post(f"/api/photos/{id}/explanations", json=asked)


def heat_of(said: dict[str, Any]) -> np.ndarray:
    kind, _, data = said["heat"].partition(",")
    assert kind == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.mode == "RGBA"
    return np.asarray(image)


def error_of(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    line = str(answer.json()["error"])
    assert line
    assert "\n" not in line
    return line


# ------------------------------------------------------------------------------------------------ what it answers


def test_the_model_says_what_it_can_do(boxes: TestClient, masks: TestClient, points: TestClient, classes: Any) -> None:
    said = boxes.get("/api/model").json()
    assert (said["task"], said["classes"]) == ("detection", ["a", "b", "c"])
    assert said["thresholds"] == {"score": 0.05, "overlap": 0.5}
    assert said["parts"] == ["score", "left", "top", "right", "bottom"]
    names = [method["name"] for method in said["methods"]]
    assert said["default_method"] in names
    assert "d_rise" in names
    assert "mask" in masks.get("/api/model").json()["parts"]
    assert points.get("/api/model").json()["keypoints"] == ["x", "y", "z"]
    said = classes.get("/api/model").json()
    assert (said["task"], said["thresholds"], said["parts"]) == ("classification", {}, [])
    assert "d_rise" not in [method["name"] for method in said["methods"]]
    assert "guided_backprop" in [method["name"] for method in said["methods"]]


def test_methods_that_are_not_defined_for_a_network_are_left_out() -> None:
    class Smooth(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.head = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.nn.functional.gelu(self.conv(x)).mean((2, 3)))

    from pellucid.models import Classifier
    from pellucid.models.preprocessing import Preprocessing
    from pellucid.structures import Classes

    model = Classifier(
        Smooth(),
        Preprocessing((32, 32), (32, 32), "bilinear", "squash", (0.5,) * 3, (0.5,) * 3),
        Classes.unnamed(2),
        "s",
    )
    client = client_of(model)
    names = [method["name"] for method in client.get("/api/model").json()["methods"]]
    assert "guided_backprop" not in names
    assert "saliency" in names
    id = drop(client)["id"]
    line = error_of(explain(client, id, target={"kind": "class", "class": "class 0"}, method="guided_backprop"), 400)
    assert "not defined" in line


def test_a_photo_is_answered_as_the_model_itself_does(boxes: TestClient) -> None:
    said = drop(boxes)
    assert (said["name"], said["width"], said["height"]) == ("cells.png", 70, 50)
    model = detector("faster_rcnn")
    expected = model.predict([photo()])[0].instances
    assert expected is not None
    assert len(said["objects"]) == len(expected) > 1
    assert [one["number"] for one in said["objects"]] == list(range(len(expected)))
    np.testing.assert_allclose([one["box"] for one in said["objects"]], expected.boxes, atol=0.01)
    np.testing.assert_allclose([one["score"] for one in said["objects"]], expected.scores, atol=1e-4)
    assert said["classes"] == []


@pytest.mark.parametrize(("score", "overlap"), [(0.3, 0.5), (0.0, 0.2), (0.31, 1.0), (1.0, 0.0), (0.05, 0.5)])
def test_the_slider_answers_as_a_fresh_pass_would(boxes: TestClient, score: float, overlap: float) -> None:
    id = drop(boxes)["id"]
    address = f"/api/photos/{id}/objects"
    said = boxes.get(address, params={"score": score, "overlap": overlap}).json()
    overlap = max(overlap, 0.01)
    assert said["thresholds"] == {"score": score, "overlap": overlap}
    model = detector("faster_rcnn").choosing(score=score, overlap=overlap)
    expected = model.predict([photo()])[0].instances
    assert expected is not None
    assert len(said["objects"]) == len(expected)
    if len(expected):
        np.testing.assert_allclose([one["box"] for one in said["objects"]], expected.boxes, atol=0.01)
    assert boxes.get(address, params=said["thresholds"]).json()["objects"] == said["objects"]


@pytest.mark.parametrize("recipe", ["masks", "points"])
def test_numbers_mean_the_same_objects_everywhere(recipe: str, request: pytest.FixtureRequest) -> None:
    client: TestClient = request.getfixturevalue(recipe)
    photo_said = drop(client)
    id, thresholds = photo_said["id"], {"score": 0.3, "overlap": 0.4}
    found = client.get(f"/api/photos/{id}/objects", params=thresholds).json()["objects"]
    drawn = client.get(f"/api/photos/{id}/outlines", params=thresholds).json()
    assert len(found) > 2
    asked = {"kind": "object", "number": len(found) - 1}
    said = explain(client, id, target=asked, thresholds=thresholds).json()
    assert said["box"] == found[-1]["box"]
    assert abs(said["value"] - found[-1]["score"]) < 1e-3
    error_of(explain(client, id, target={"kind": "object", "number": len(found)}, thresholds=thresholds), 404)
    if recipe == "masks":
        assert sorted(map(int, drawn["outlines"])) == list(range(len(found)))
        assert all(one["has_mask"] for one in found)
        path = drawn["outlines"]["0"]
        assert path == "" or (path.startswith("M") and path.endswith("Z"))
    else:
        assert found[0]["keypoints"] is None
        assert np.shape(drawn["keypoints"]["0"]) == (3, 3)
        assert np.shape(photo_said["objects"][0]["keypoints"]) == (3, 3)


PARTS = ["score", "left", "top", "right", "bottom"]


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_box_is_explained(boxes: TestClient, part: str) -> None:
    id = drop(boxes)["id"]
    said = explain(boxes, id, target={"kind": "object", "number": 0, "part": part}).json()
    assert said["title"] == "Grad-CAM"
    assert said["layer"].startswith("neck.output.")
    assert said["unit_layer"] == said["layer"]
    assert heat_of(said).shape == (50, 70, 4)
    assert [step["name"] for step in said["steps"]] == ["class", "region", "proposal", "anchor"]
    assert 0 <= said["inside"] <= 1
    assert said["pointing"] in (True, False)
    if part in ("left", "right"):
        assert abs(said["value"] - said["box"][0 if part == "left" else 2]) < 0.01
    assert said["sentence"].endswith(".")


def test_masks_and_keypoints_are_explained(masks: TestClient, points: TestClient) -> None:
    dropped = drop(masks)
    id = dropped["id"]
    assert explain(masks, id, target={"kind": "object", "number": 0, "part": "mask"}).status_code == 200
    x1, y1, x2, y2 = dropped["objects"][0]["box"]
    middle = [(x1 + x2) / 2, (y1 + y2) / 2]
    said = explain(masks, id, target={"kind": "object", "number": 0, "part": "mask", "pixel": middle}).json()
    assert 0 <= said["value"] <= 1
    outside = {"kind": "object", "number": 0, "part": "mask", "pixel": [-50, -50]}
    assert "not in its box" in error_of(explain(masks, id, target=outside), 400)
    id = drop(points)["id"]
    asked = {"kind": "object", "number": 0, "part": "keypoint", "keypoint": 1}
    assert explain(points, id, target=asked).json()["target"].endswith("y")
    assert "3" in error_of(explain(points, id, target={**asked, "keypoint": 3}), 400)
    error_of(explain(points, id, target={**asked, "keypoint": None}), 400)
    assert "no masks" in error_of(explain(points, id, target={"kind": "object", "number": 0, "part": "mask"}), 400)


@pytest.mark.parametrize("method", ["grad_cam", "odam", "layer_cam", "saliency", "d_rise", "occlusion", "smooth_grad"])
def test_methods_of_objects(boxes: TestClient, method: str) -> None:
    id = drop(boxes)["id"]
    said = explain(boxes, id, target={"kind": "object", "number": 0}, method=method).json()
    assert heat_of(said)[..., 3].max() > 0 or said["inside"] == 0


def test_what_was_missed_is_explained(boxes: TestClient) -> None:
    dropped = drop(boxes)
    id = dropped["id"]
    box = [5, 5, 40, 45]
    said = explain(boxes, id, target={"kind": "missed", "box": box, "class": "c"}, thresholds={"score": 0.99}).json()
    assert said["box"] == box
    assert said["sentence"].startswith("Not reported as c: ")
    assert len(said["steps"]) >= 1
    assert explain(boxes, id, target={"kind": "missed", "box": box}).status_code == 200
    x1, y1, x2, y2 = dropped["objects"][0]["box"]
    at = [(x1 + x2) / 2, (y1 + y2) / 2]
    said = explain(boxes, id, target={"kind": "missed", "point": at}).json()
    assert said["box"][0] <= at[0] <= said["box"][2]
    assert said["box"][1] <= at[1] <= said["box"][3]
    best = max(one["score"] for one in dropped["objects"])
    assert said["value"] >= best - 1e-3  # the surest candidate there may be no less sure than a reported one
    assert explain(boxes, id, target={"kind": "missed", "point": at, "class": "b"}).json()["target"].startswith("b")
    assert "point" in error_of(explain(boxes, id, target={"kind": "missed", "point": [-500, 3]}), 400)
    for target in ({}, {"box": box, "point": at}, {"box": [9, 9, 3, 3]}):
        error_of(explain(boxes, id, target={"kind": "missed", **target}), 400)


def test_one_class_and_not_another(boxes: TestClient, classes: TestClient) -> None:
    id = drop(boxes)["id"]
    said = explain(boxes, id, target={"kind": "instead", "number": 0, "class": "a", "other": "b"}).json()
    other = explain(boxes, id, target={"kind": "instead", "number": 0, "class": "b", "other": "a"}).json()
    assert said["value"] == pytest.approx(-other["value"], abs=1e-3)
    error_of(explain(boxes, id, target={"kind": "class", "class": "a"}), 400)
    id = drop(classes)["id"]
    asked = {"kind": "instead", "number": None, "class": "tabby", "other": "Egyptian cat"}
    assert explain(classes, id, target=asked).status_code == 200


def test_classes_are_explained_and_checked(classes: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from pellucid.web import explaining

    monkeypatch.setattr(explaining, "_STEPS", 3)
    dropped = drop(classes)
    assert dropped["objects"] == []
    assert len(dropped["classes"]) == 5
    id, best = dropped["id"], dropped["classes"][0]
    said = explain(classes, id, target={"kind": "class", "class": best["name"]}).json()
    assert said["value"] == pytest.approx(best["probability"], abs=1e-3)
    assert (said["box"], said["inside"], said["steps"]) == (None, None, [])
    assert said["unit_layer"] == said["layer"]
    found = classes.post(f"/api/photos/{id}/explanations/{said['id']}/check", json={}).json()
    assert len(found["deletion"]["values"]) == 4
    assert found["insertion"]["values"][-1] == pytest.approx(best["probability"], abs=1e-3)
    assert isinstance(found["passes"], bool)
    line = error_of(explain(classes, id, target={"kind": "class", "class": "tabbi"}), 400)
    assert "tabby" in line
    assert "classifier" in error_of(explain(classes, id, target={"kind": "object", "number": 0}), 400)
    assert "no threshold" in error_of(classes.get(f"/api/photos/{id}/objects", params={"score": 0.5}), 400)
    assert classes.get(f"/api/photos/{id}/objects").json()["objects"] == []


def test_maps_of_objects_are_checked(boxes: TestClient) -> None:
    id = drop(boxes)["id"]
    said = explain(boxes, id, target={"kind": "object", "number": 1}, thresholds={"score": 0.2}).json()
    found = boxes.post(f"/api/photos/{id}/explanations/{said['id']}/check", json={}).json()
    assert found["deletion"]["values"][0] == pytest.approx(said["value"], abs=1e-3)
    assert found["sentence"].endswith(".")
    error_of(boxes.post(f"/api/photos/{id}/explanations/unknown/check", json={}), 404)


def test_units_of_a_place(boxes: TestClient, classes: TestClient) -> None:
    for client, layer in ((boxes, "neck.output.0"), (classes, "blocks.4")):
        id = drop(client)["id"]
        address = f"/api/photos/{id}/units"
        said = client.get(address, params={"layer": layer, "x": 30, "y": 20, "count": 3}).json()
        activations = [unit["activation"] for unit in said["units"]]
        assert len(activations) == 3
        assert activations == sorted(activations, reverse=True)
        best = said["units"][0]
        heat = client.get(f"{address}/{layer}/{best['channel']}/heat").json()
        assert heat_of(heat).shape == (50, 70, 4)
        assert heat["peak"] == best["strongest"]
        x, y = best["strongest"]
        again = client.get(address, params={"layer": layer, "x": x, "y": y, "count": 100}).json()["units"]
        there = {unit["channel"]: unit["activation"] for unit in again}
        assert there[best["channel"]] >= best["activation"]
        error_of(client.get(f"{address}/{layer}/100000/heat"), 404)
        assert "outside" in error_of(client.get(address, params={"layer": layer, "x": 300, "y": 2}), 400)
        assert "layer" in error_of(client.get(address, params={"layer": "nix", "x": 3, "y": 2}), 400)
    line = error_of(boxes.get(f"/api/photos/{drop(boxes)['id']}/units?layer=predictor&x=3&y=2"), 400)
    assert "layer" in line


def test_a_unit_is_drawn_once(boxes: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from pellucid.web import units

    monkeypatch.setattr(units, "_STEPS", 4)
    address = "/api/units/neck.output.0/2/picture"
    first = boxes.get(address)
    assert first.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(first.content)).size == (128, 128)
    monkeypatch.setattr(units, "synthesize", None)
    assert boxes.get(address).content == first.content
    monkeypatch.undo()
    error_of(boxes.get("/api/units/neck.output.0/77/picture"), 400)
    error_of(boxes.get("/api/units/nix/7/picture"), 400)


def test_the_picture_is_reduced(boxes: TestClient) -> None:
    id = drop(boxes, encoded(photo(size=(2000, 100))))["id"]
    answer = boxes.get(f"/api/photos/{id}/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (1600, 80)


# ------------------------------------------------------------------------------------------------ photos of any kind


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(format="JPEG", exif=exif)


def deep() -> bytes:
    return encoded(Image.fromarray(np.arange(3500, dtype=np.uint16).reshape(50, 70) * 18))


KINDS = {
    "gray": lambda: encoded(photo("L")),
    "bilevel": lambda: encoded(photo("1")),
    "palette": lambda: encoded(photo("P")),
    "transparent": lambda: encoded(photo("RGBA")),
    "CMYK": lambda: encoded(photo("CMYK"), "JPEG"),
    "16 bit": deep,
    "float": lambda: encoded(Image.fromarray(np.random.default_rng(0).random((50, 70), np.float32)), "TIFF"),
    "EXIF": rotated,
    "animated": lambda: encoded(photo("P"), "GIF", save_all=True, append_images=[photo("P")]),
    "WebP": lambda: encoded(format="WEBP"),
    "BMP": lambda: encoded(format="BMP"),
    "one pixel": lambda: encoded(photo(size=(1, 1))),
    "thin": lambda: encoded(photo(size=(400, 2))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_photo(boxes: TestClient, kind: str, tmp_path: Path) -> None:
    data = KINDS[kind]()
    file = tmp_path / "photo"
    file.write_bytes(data)
    H, W = read_photo(file).shape[1:]
    said = drop(boxes, data)
    assert (said["width"], said["height"]) == (W, H)
    assert (W, H) == (50, 70) if kind == "EXIF" else True
    if said["objects"]:
        assert explain(boxes, said["id"], target={"kind": "object", "number": 0}).status_code == 200
    assert boxes.get(f"/api/photos/{said['id']}/picture").status_code == 200


def bomb() -> bytes:
    data = bytearray(encoded())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


REFUSED = {
    "empty": (lambda: b"", "empty"),
    "garbage": (lambda: bytes(range(256)) * 9, "not an image"),
    "text": (lambda: b"hello, I am no photo", "text"),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "truncated": (lambda: encoded(photo(size=(300, 300)), "JPEG")[:2000], "cut short"),
    "bomb": (bomb, "pixels"),
    "web page": (lambda: b"<!doctype html><title>404</title>", "web page"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_photo_is_refused_in_a_line(boxes: TestClient, kind: str) -> None:
    made, words = REFUSED[kind]
    line = error_of(boxes.post("/api/photos", files={"photo": ("holiday.jpg", made())}), 400)
    assert line.startswith("holiday.jpg: ")
    assert words in line


NAMES = {
    "../../etc/passwd": "passwd",
    "C:\\photos\\me.jpg": "me.jpg",
    "<img src=x onerror=alert(1)>": "<img src=x onerror=alert(1)>",
    "a" * 5000 + ".jpg": "a" * 67 + "…" + "a" * 8 + ".jpg",
    "nul\0l.png": "null.png",
    "\u202egnp.exe": "gnp.exe",
    "two\r\nlines.png": "twolines.png",
    "日本語 写真.jpg": "日本語 写真.jpg",
    "..": "..",
}


@pytest.mark.parametrize("name", NAMES)
def test_lying_names_are_only_text(boxes: TestClient, name: str) -> None:
    from pellucid.web.photos import harmless_name

    assert harmless_name(name) == NAMES[name]
    assert len(harmless_name(name)) <= 80
    name = name[-3000:]
    assert drop(boxes, name=name)["name"]
    line = error_of(boxes.post("/api/photos", files={"photo": (name, b"no photo at all")}), 400)
    assert not any(ord(c) < 32 or c == "\u202e" for c in line)
    assert "text, not a photo" in line


def test_a_name_that_no_file_can_have(boxes: TestClient) -> None:
    files = {"photo": ("a" * 5000 + ".jpg", encoded())}
    assert "name is too long" in error_of(boxes.post("/api/photos", files=files), 400)


def test_a_nameless_photo_has_a_name() -> None:
    from pellucid.web.photos import harmless_name

    assert harmless_name(None) == harmless_name("\0\n") == harmless_name("/") == "the photo"


def test_nothing_is_written_to_disk(boxes: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8))
    data = encoded(noise)
    assert len(data) > 2**21
    drop(boxes, data)


def test_forms_that_hold_no_photo(boxes: TestClient) -> None:
    line = error_of(boxes.post("/api/photos", content=b"x"), 400)
    assert "photo" in line
    error_of(boxes.post("/api/photos", files={"picture": ("a.png", encoded())}), 400)
    error_of(boxes.post("/api/photos", files=[("photo", ("a.png", b"a")), ("photo", ("b.png", b"b"))]), 400)
    error_of(boxes.post("/api/photos", data={"photo": "a text"}), 400)
    headers = {"content-type": "multipart/form-data"}
    error_of(boxes.post("/api/photos", content=b"--x", headers=headers), 400)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for content in (b"--x", b"--x\r\nContent-Disposition: form-data; name=photo", b"\0" * 99, b"--x--"):
        error_of(boxes.post("/api/photos", content=content, headers=headers), 400)


# ------------------------------------------------------------------------------------------------ limits


def test_too_many_bytes_or_pixels() -> None:
    client = client_of(detector("faster_rcnn"), Limits(bytes=100_000, pixels=5000))
    drop(client)
    big = {"photo": ("a.png", b"x" * 300_000)}
    assert "reduce it" in error_of(client.post("/api/photos", files=big), 413)
    line = error_of(client.post("/api/photos", files={"photo": ("a.png", encoded(photo(size=(80, 80))))}), 400)
    assert "more than the 5,000 pixels" in line
    # a body whose length is not told, and goes on and on
    taken = 0

    def endless() -> Any:
        nonlocal taken
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        for _ in range(40):
            taken += 10_000
            yield b"y" * 10_000

    headers = {"content-type": "multipart/form-data; boundary=x"}
    error_of(client.post("/api/photos", content=endless(), headers=headers), 413)
    question = "/api/photos/x/explanations"
    assert "at most" in error_of(client.post(question, content=b" " * 70_000), 413)
    drop(client)


def test_photos_are_forgotten_oldest_first() -> None:
    client = client_of(detector("faster_rcnn"), Limits(photos=2))
    first, second = drop(client)["id"], drop(client)["id"]
    assert client.get(f"/api/photos/{first}/objects").status_code == 200  # used again, so the other one goes
    third = drop(client)["id"]
    for address in ("objects", "outlines", "picture", "units?layer=a&x=1&y=1", "units/a/1/heat"):
        assert "drop it again" in error_of(client.get(f"/api/photos/{second}/{address}"), 404)
    error_of(explain(client, second, target={"kind": "object", "number": 0}), 404)
    assert client.get(f"/api/photos/{first}/picture").status_code == 200
    assert client.get("/api/health").json() == {"status": "ok", "waiting": 0, "photos": 2}
    assert client.delete(f"/api/photos/{third}").json()["photos"] == 1
    error_of(client.get(f"/api/photos/{third}/picture"), 404)
    error_of(client.delete(f"/api/photos/{third}"), 404)


def test_photos_are_forgotten_by_their_memory() -> None:
    client = client_of(detector("faster_rcnn"), Limits(memory=1))
    first, second = drop(client)["id"], drop(client)["id"]
    error_of(client.get(f"/api/photos/{first}/picture"), 404)
    assert client.get(f"/api/photos/{second}/picture").status_code == 200


def test_the_memory_of_a_photo_is_counted(boxes: TestClient) -> None:
    from pellucid.web.photos import memory_of
    from pellucid.web.reading import seen

    kept = seen(detector("faster_rcnn"), encoded(), "a", 10**6, lambda: None)
    size = memory_of(kept)
    trace: Any = kept.said.trace
    maps = sum(x.nelement() * 4 for x in trace.maps)
    weights = sum(p.nelement() * 4 for p in kept.subject.model.parameters())
    assert maps < size < maps + 2_000_000 < weights


def test_many_uploads_at_once_are_all_answered() -> None:
    client = client_of(detector("faster_rcnn"), Limits(waiting=10, waiting_bytes=2_000_000))
    data = encoded()

    def send(n: int) -> tuple[int, str, str | None]:
        answer = client.post("/api/photos", files={"photo": ("a.png", data)}, headers={"X-Client": str(n % 5)})
        return answer.status_code, answer.text, answer.headers.get("retry-after")

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(send, range(40)))
    assert {status for status, _, _ in answers} <= {200, 503}
    assert sum(status == 200 for status, _, _ in answers) >= 10
    assert all(after == "5" and "try again" in text for status, text, after in answers if status == 503)
    assert client.get("/api/health").json()["waiting"] == 0
    drop(client)


def test_bytes_that_wait_are_bounded() -> None:
    client = client_of(detector("faster_rcnn"), Limits(waiting_bytes=5000))
    assert len(encoded()) > 5000
    answer = client.post("/api/photos", files={"photo": ("a.png", encoded())})
    assert "wait already" in error_of(answer, 503)
    assert answer.headers["retry-after"] == "5"
    drop(client, encoded(photo(size=(9, 9))))  # what was refused is given back


# ------------------------------------------------------------------------------------------------ whose page asks


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8321", "", "[::2]:1", "@localhost"]
)
def test_foreign_hosts_are_refused(boxes: TestClient, host: str) -> None:
    error_of(boxes.get("/api/health", headers={"Host": host}), 400)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8321", "[::1]:99", "LOCALHOST:1"])
def test_local_hosts_are_served(boxes: TestClient, host: str) -> None:
    assert boxes.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9999", "http://[", "file://"])
def test_foreign_pages_change_nothing(boxes: TestClient, origin: str) -> None:
    id = drop(boxes)["id"]
    error_of(boxes.delete(f"/api/photos/{id}", headers={"Origin": origin}), 403)
    files = {"photo": ("a.png", encoded())}
    error_of(boxes.post("/api/photos", files=files, headers={"Origin": origin}), 403)
    error_of(boxes.get("/api/units/neck.output.0/1/picture", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    own = {"Origin": "http://localhost:8321", "Sec-Fetch-Site": "same-origin"}
    assert boxes.delete(f"/api/photos/{id}", headers=own).status_code == 200


def test_every_answer_has_its_headers(boxes: TestClient) -> None:
    for answer in (boxes.get("/api/health"), boxes.get("/nix"), boxes.get("/api/health", headers={"Host": "x"})):
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert boxes.get("/api/health").headers["cache-control"] == "no-store"
    for address in ("/docs", "/redoc", "/nix", "/static/nix.js", "/static/../../errors.py", "/static/%2e%2e/limits.py"):
        error_of(boxes.get(address), 404)
    error_of(boxes.put("/api/health"), 405)


# ------------------------------------------------------------------------------------------------ nonsense


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"target": None},
        {"target": {"kind": "nix"}},
        {"target": {"kind": "object"}},
        {"target": {"kind": "object", "number": -1}},
        {"target": {"kind": "object", "number": 1e30}},
        {"target": {"kind": "object", "number": "0"}},
        {"target": {"kind": "object", "number": True}},
        {"target": {"kind": "object", "number": 0, "part": "soul"}},
        {"target": {"kind": "object", "number": 0, "more": 1}},
        {"target": {"kind": "missed", "box": [1, 2, 3]}},
        {"target": {"kind": "missed", "box": [1, 2, 3, 1e300]}},
        {"target": {"kind": "object", "number": 0}, "thresholds": {"score": 2}},
        {"target": {"kind": "object", "number": 0}, "thresholds": {"soul": 1}},
        {"target": {"kind": "object", "number": 0}, "extra": 1},
        {"target": {"kind": "class", "class": "x" * 1000}},
    ],
)
def test_questions_of_another_form(boxes: TestClient, asked: dict[str, Any]) -> None:
    error_of(explain(boxes, drop(boxes)["id"], **asked), 422)


@pytest.mark.parametrize(
    "text", ["", "[", "NaN", '{"target":{"kind":"missed","box":[NaN,0,1,Infinity]}}', "[" * 9000, "9" * 9000]
)
def test_questions_that_are_no_json(boxes: TestClient, text: str) -> None:
    address = f"/api/photos/{drop(boxes)['id']}/explanations"
    answer = boxes.post(address, content=text, headers={"content-type": "application/json"})
    assert error_of(answer, answer.status_code)
    assert answer.status_code in (400, 422)


def test_questions_that_make_no_sense(boxes: TestClient) -> None:
    id = drop(boxes)["id"]
    target = {"kind": "object", "number": 0}
    assert "grad_cam" in error_of(explain(boxes, id, target=target, method="grad_kam"), 400)
    assert "nix" in error_of(explain(boxes, id, target=target, layer="nix"), 400)
    error_of(explain(boxes, id, target={"kind": "object", "number": 1000}), 404)
    error_of(explain(boxes, id, target={"kind": "missed", "point": [1, 1], "class": "nix"}), 400)
    for name, value in (("score", "-1"), ("score", "nan"), ("overlap", "inf"), ("score", "x"), ("overlap", "1e400")):
        error_of(boxes.get(f"/api/photos/{id}/objects", params={name: value}), 422)
    for bad in ("x=nan&y=1", "x=1e99&y=1", "x=1", "x=1&y=1&count=0", "x=1&y=1&count=1000000"):
        error_of(boxes.get(f"/api/photos/{id}/units?layer=neck.output.0&{bad}"), 422)


# ------------------------------------------------------------------------------------------------ living on


def test_a_crash_is_one_line_and_the_server_lives_on(
    boxes: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pellucid.web import application

    def crash(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(application, "seen", crash)
    line = error_of(boxes.post("/api/photos", files={"photo": ("a.png", encoded())}), 500)
    assert "secret" not in line
    assert "ZeroDivisionError: secret" in capsys.readouterr().err
    monkeypatch.undo()
    drop(boxes)


def test_the_slider_does_not_wait_for_the_worker(boxes: TestClient) -> None:
    id = drop(boxes)["id"]
    queue = boxes.app.state.queue  # type: ignore[attr-defined]
    free, begun = threading.Event(), threading.Event()
    queue.submit("other", lambda job: (begun.set(), free.wait(10)))
    assert begun.wait(10)
    try:
        assert boxes.get(f"/api/photos/{id}/objects", params={"score": 0.2}).status_code == 200
        assert not free.is_set()
    finally:
        free.set()


def test_explaining_leaves_the_slider_as_it_is(masks: TestClient) -> None:
    id = drop(masks)["id"]
    address = f"/api/photos/{id}/objects"
    before = masks.get(address, params={"score": 0.1}).json()["objects"]
    for part in ("score", "mask"):
        explain(masks, id, target={"kind": "object", "number": 0, "part": part}, thresholds={"score": 0.1})
    masks.get(address, params={"score": 0.3})
    for score in (0.6, 0.7, 0.8, 0.9):  # so that the first is no longer remembered
        masks.get(address, params={"score": score})
    assert masks.get(address, params={"score": 0.1}).json()["objects"] == before


def test_a_model_without_traces_says_so() -> None:
    model: Detector = copy(detector("faster_rcnn"))

    class Untraced(type(model)):  # type: ignore[misc]
        @property
        def traced(self) -> None:
            raise AttributeError

    model.__class__ = Untraced
    assert not hasattr(model, "traced")
    client = client_of(model)
    assert client.get("/api/model").json()["thresholds"] == {}
    dropped = drop(client)
    assert dropped["objects"]
    line = error_of(explain(client, dropped["id"], target={"kind": "object", "number": 0}), 400)
    assert "trace" in line


def test_limits_are_told(boxes: TestClient) -> None:
    limits = Limits()
    assert boxes.get("/api/model").json()["limits"] == {"bytes": limits.bytes, "pixels": limits.pixels}
    assert replace(limits, bytes=1).bytes == 1
