"""The channels of a layer: which are active at a place of a photo, where each is, and what it looks for."""

import threading
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain import channel, synthesize, watch
from pellucid.explain.attribution import named_layer
from pellucid.explain.grids import as_grid
from pellucid.explain.subject import untouched
from pellucid.explain.synthesis import as_pixels
from pellucid.models import PhotoModel
from pellucid.structures import Placement
from pellucid.web.limits import AnswerError
from pellucid.web.photos import Kept
from pellucid.web.pictures import heat_url, over_photo, png
from pellucid.web.queue import Job

_GRIDS = 4
"""How many layers' activations are remembered, of all photos together."""

_PICTURES = 128
_STEPS, _SIDE = 96, 128
"""Of a synthesis: so much shows what a unit looks for, and takes seconds."""


class Units:
    """Answers about a model's channels. Its methods run the network, so they belong into the queue."""

    def __init__(self, model: PhotoModel) -> None:
        self.model = model
        self._grids: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._pictures: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def layer(self, name: str) -> str:
        """The full name of the one layer that is meant. Raises PellucidError where there is none."""
        found = named_layer(self.model.network, name)
        if found is None:
            raise PellucidError(f"layer '{name}': name a layer of the network")
        return found

    def at(self, photo: Kept, layer: str, x: float, y: float, count: int) -> dict[str, Any]:
        """The channels that are most active at a place of the photo."""
        H, W = photo.size
        if not (0 <= x <= W and 0 <= y <= H):
            raise AnswerError(400, f"x {x:g}, y {y:g} lies outside the photo, which is {W} × {H} pixels")
        layer = self.layer(layer)
        grid, placement = self._grid(photo, layer), photo.subject.placements[0]
        column, row = _cell(placement, grid, x, y)
        strengths, channels = grid[:, row, column].sort(descending=True, stable=True)
        return {
            "layer": layer,
            "units": [
                {"channel": c, "activation": round(v, 4), "strongest": _strongest(placement, grid[c], photo.size)}
                for v, c in zip(strengths[:count].tolist(), channels[:count].tolist(), strict=True)
            ],
        }

    def heat(self, photo: Kept, layer: str, number: int) -> dict[str, Any]:
        """Where in the photo a channel is active."""
        layer = self.layer(layer)
        grid, placement = self._grid(photo, layer), photo.subject.placements[0]
        if number >= len(grid):
            raise AnswerError(404, f"layer '{layer}' has {len(grid)} channels, 0 to {len(grid) - 1}")
        return {
            "heat": heat_url(over_photo(grid[number], placement)),
            "peak": _strongest(placement, grid[number], photo.size),
        }

    def known_picture(self, layer: str, number: int) -> bytes | None:
        """The picture of a channel, if it was made already."""
        with self._lock:
            return self._pictures.get((layer, number))

    def picture(self, layer: str, number: int, job: Job[Any]) -> bytes:
        """What a channel looks for, as a PNG: an image climbed to where it is most active."""
        known = self.known_picture(layer, number)
        if known is not None:
            return known
        made = synthesize(self.model, channel(layer, number), steps=_STEPS, size=_SIDE, on_step=job.go_on)
        picture = png(as_pixels(made.images[0]))
        with self._lock:
            self._pictures[layer, number] = picture
            while len(self._pictures) > _PICTURES:
                self._pictures.popitem(last=False)
        return picture

    def _grid(self, photo: Kept, layer: str) -> Tensor:
        """(C, h, w): the layer's activation over the frame of a photo. Raises PellucidError where it is no grid."""
        key = (photo.id, layer)
        if key in self._grids:
            self._grids.move_to_end(key)
            return self._grids[key]
        subject = photo.subject
        with untouched(self.model), torch.no_grad(), watch(self.model.network, layer) as seen:
            activation = seen(subject.frame, through=subject.run)[layer]
        h, w = subject.frame.shape[-2:]
        maps = as_grid(activation, h / w, layer)
        if len(maps) != 1:
            raise PellucidError(f"layer '{layer}' sees {len(maps)} crops, not the photo; choose another layer")
        self._grids[key] = grid = torch.nan_to_num(maps[0].detach().float())
        while len(self._grids) > _GRIDS:
            self._grids.popitem(last=False)
        return grid


def _cell(placement: Placement, grid: Tensor, x: float, y: float) -> tuple[int, int]:
    """The column and the row of a grid over the frame at a place of the photo."""
    x1, y1, x2, y2 = placement.box
    h, w = grid.shape[-2:]
    column, row = (x - x1) / (x2 - x1) * w, (y - y1) / (y2 - y1) * h
    return min(max(int(column), 0), w - 1), min(max(int(row), 0), h - 1)


def _strongest(placement: Placement, one: Tensor, size: tuple[int, int]) -> list[float]:
    """Where a map (h, w) over the frame is strongest: x and y in the photo."""
    x1, y1, x2, y2 = placement.box
    h, w = one.shape
    row, column = divmod(int(one.argmax()), w)
    x, y = x1 + (column + 0.5) / w * (x2 - x1), y1 + (row + 0.5) / h * (y2 - y1)
    return [round(min(max(x, 0.0), size[1]), 1), round(min(max(y, 0.0), size[0]), 1)]
