"""Generated scenes as a data set."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from pellucid.data.dataset import Dataset
from pellucid.data.scenes.draws import Draws
from pellucid.data.scenes.ground import make_ground
from pellucid.data.scenes.painting import paint
from pellucid.data.scenes.placing import place
from pellucid.data.scenes.settings import SceneSettings
from pellucid.data.scenes.truth import annotate, scene_classes
from pellucid.errors import PellucidError, nearest
from pellucid.structures import Annotations, Classes, Sample

SPLITS = ("train", "val", "test")


class Scenes(Dataset):
    """Generated scenes: things (shapes) on stuff (textured grounds), with a truth that is exact to the pixel.

    Sample i depends on the settings other than ``n``, on the split and on i alone. So a larger set begins with the
    smaller one, any order and any process gives the same bytes, and splits share no image. No split (None) is a set of
    its own. Knobs that concern one part, such as ``noise``, leave the others as they were.

    ``classes`` holds the shapes, then the stuff. Masks, boxes and areas are of what is seen. Instances run from front
    to back; their ids are those of their segments, 1 to N, and stuff follows. Raises PellucidError for an unknown
    split.
    """

    def __init__(self, settings: SceneSettings | None = None, split: str | None = None) -> None:
        settings = settings or SceneSettings()
        if split is not None and split not in SPLITS:
            raise PellucidError(f"scenes: unknown split '{split}'{nearest(split, SPLITS)}; splits: {', '.join(SPLITS)}")
        super().__init__(
            f"scenes:{settings}",
            scene_classes(settings.classes, settings.stuff),
            ("boxes", "masks", "keypoints", "semantic", "panoptic", "labels"),
            format="scenes",
            split=split,
        )
        self.settings = settings

    @cached_property
    def names(self) -> Sequence[str]:
        """The samples' names, ``scene_00000.png`` and so on."""
        return [_name(i) for i in range(self.settings.n)]

    def __len__(self) -> int:
        return self.settings.n

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of every image."""
        return self.settings.size

    def sample(self, index: int) -> Sample:
        """The sample at an index from 0 to len − 1; image and annotations are made together, at first use."""
        scene = _Scene(self.settings, self.classes, self.split, index)
        return Sample(_name(index), scene.image, scene.annotations, id=index)


def open_scenes(text: str, split: str | None = None) -> Scenes:
    """Scenes by their text, what stands after ``scenes:``, such as ``easy,n=50`` or ``n=200,seed=0,size=160x120``.

    Raises PellucidError for an unknown key, preset or split, and for a value out of its range.
    """
    return Scenes(SceneSettings.read(text), split)


def _name(index: int) -> str:
    return f"scene_{index:05d}.png"


class _Scene:
    """One scene, made once."""

    def __init__(self, settings: SceneSettings, classes: Classes, split: str | None, index: int) -> None:
        self.settings = settings
        self.classes = classes
        self.split = split
        self.index = index

    def image(self) -> Tensor:
        return self._made[0]

    def annotations(self) -> Annotations:
        return self._made[1]

    @cached_property
    def _made(self) -> tuple[Tensor, Annotations]:
        knobs = self.settings
        ground = make_ground(knobs.stuff, knobs.regions, knobs.clutter, knobs.size, self._draws("ground"))
        things, seen = place(knobs, self._draws("things"))
        faint = paint(ground.canvas, things, knobs.contrast, knobs.textured, self._draws("colours"))
        annotations = annotate(ground, things, seen, faint, self.classes, knobs.ignore)
        return self._developed(ground.canvas), annotations

    def _developed(self, canvas: np.ndarray) -> Tensor:
        """The canvas as a camera would give it: uint8 (3, H, W)."""
        if self.settings.blur:
            sigma = (0.0, self.settings.blur, self.settings.blur)
            canvas = ndimage.gaussian_filter(canvas, sigma, mode="nearest", truncate=3.0)
        if self.settings.noise:
            noise = self._draws("noise").generator.standard_normal(canvas.shape, np.float32)
            canvas += np.float32(self.settings.noise) * noise
        canvas += np.float32(0.5)
        return torch.from_numpy(np.clip(canvas, 0, 255).astype(np.uint8))

    def _draws(self, part: str) -> Draws:
        """A stream a part, so that a knob of one leaves the others as they were."""
        return Draws(self.settings.seed, self.split or "", self.index, part)
