"""Tiny models behind a server in the same process."""

from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from pellucid.models import Detector, PhotoModel, build, load
from pellucid.structures import Classes
from pellucid.structures.keypoints import KeypointNames
from pellucid.web import Limits, create_app

TINY = {
    "min_side": 64,
    "max_side": 96,
    "box_features": 16,
    "score_threshold": 0.05,
    "detections": 20,
    "proposals_after": 100,
    "channels": 8,
}
MORE: dict[str, dict[str, Any]] = {"mask_rcnn": {"mask_channels": 8}, "keypoint_rcnn": {"keypoint_channels": 8}}


@cache
def detector(recipe: str) -> Detector:
    """A detector of three classes that reports something of any photo; a test must leave it as it is."""
    torch.manual_seed(0)
    points = (KeypointNames(("x", "y", "z")),) * 3 if recipe == "keypoint_rcnn" else ()
    settings = {**TINY, **MORE.get(recipe, {})}
    model = build(recipe, Classes(("a", "b", "c"), keypoints=points), pretrained=False, **settings).eval()
    for parameter in model.network.predictor.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def encoded(image: Image.Image | None = None, format: str = "PNG", **options: Any) -> bytes:
    """A photo's file; by default one of 70 × 50 pixels."""
    buffer = BytesIO()
    (photo() if image is None else image).save(buffer, format, **options)
    return buffer.getvalue()


def photo(mode: str = "RGB", size: tuple[int, int] = (70, 50)) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def client_of(model: PhotoModel, limits: Limits | None = None) -> TestClient:
    return client_of_app(create_app(model, limits or Limits()))


def client_of_app(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://localhost:8321", raise_server_exceptions=False)


def drop(client: TestClient, data: bytes | None = None, name: str = "cells.png") -> dict[str, Any]:
    """What is said of an uploaded photo."""
    answer = client.post("/api/photos", files={"photo": (name, encoded() if data is None else data)})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def _served(recipe: str) -> Iterator[TestClient]:
    client = client_of(detector(recipe))
    yield client
    client.app.state.queue.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def boxes() -> Iterator[TestClient]:
    yield from _served("faster_rcnn")


@pytest.fixture(scope="session")
def masks() -> Iterator[TestClient]:
    yield from _served("mask_rcnn")


@pytest.fixture(scope="session")
def points() -> Iterator[TestClient]:
    yield from _served("keypoint_rcnn")


@pytest.fixture(scope="session")
def classes() -> Iterator[TestClient]:
    client = client_of(load("tf_efficientnet_lite0"))
    yield client
    client.app.state.queue.close()  # type: ignore[attr-defined]
