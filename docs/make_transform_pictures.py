"""Makes the picture of the transforms: ``uv run python docs/make_transform_pictures.py``. No download.

One photo, whose face and eyes are annotated by hand, under every transform, with what is said of it drawn over it.
"""

from pathlib import Path

import numpy as np
import skimage.data
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from pellucid.data.transforms import (
    Blur,
    CentreCrop,
    Colour,
    Compose,
    CropKeepingBoxes,
    Elastic,
    Grey,
    HorizontalFlip,
    Letterbox,
    MixUp,
    Mosaic,
    Noise,
    Pair,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    ResizeLongest,
    ResizeShortest,
    Rotate,
    ScaleJitter,
    Transform,
    VerticalFlip,
    ZoomOut,
)
from pellucid.structures import Annotations, Classes, Instances, KeypointNames, Masks, Panoptic, Polygons, Segment

PICTURES = Path(__file__).parent / "pictures"

POINTS = KeypointNames(("nose", "left_eye", "right_eye"), skeleton=((0, 1), (0, 2), (1, 2)))
CLASSES = Classes(("cat", "ground", "eye"), things=(True, False, True), keypoints=(POINTS, None, None))
FACE = (
    *((90, 25), (165, 12), (230, 4), (300, 10), (340, 50), (362, 110), (364, 135), (350, 185), (320, 225)),
    *(
        (312, 255),
        (290, 278),
        (255, 284),
        (210, 282),
        (165, 272),
        (130, 235),
        (85, 200),
        (45, 150),
        (38, 120),
        (42, 70),
    ),
)
"""The outline of the cat's face."""
POINTS_OF_FACE = ((262.0, 242.0, 2), (314.0, 134.0, 2), (172.0, 113.0, 2))
"""Its nose, its left eye (on our right), its right eye."""
EYES = ((172, 116, 33, 30), (316, 136, 23, 26))
"""Centre and half axes."""


def chelsea() -> Pair:
    """The photo and its annotations: the face as polygon, the eyes as pixels."""
    photo = skimage.data.chelsea()
    size = photo.shape[:2]
    face = Polygons.from_lists([[c for point in FACE for c in point]], size)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    eyes = [((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1 for cx, cy, a, b in EYES]
    semantic = torch.from_numpy(~face.to_mask()).long()
    instances = Instances(
        boxes=torch.tensor([face.box(), *((cx - a, cy - b, cx + a, cy + b) for cx, cy, a, b in EYES)]),
        labels=torch.tensor([0, 2, 2]),
        masks=Masks([face, *eyes], size),
        keypoints=torch.tensor([POINTS_OF_FACE, ((0.0, 0.0, 0.0),) * 3, ((0.0, 0.0, 0.0),) * 3]),
    )
    panoptic = Panoptic(semantic + 1, (Segment(1, 0), Segment(2, 1)))
    image = torch.from_numpy(photo.transpose(2, 0, 1).copy())
    return image, Annotations(size, CLASSES, instances=instances, semantic=semantic, panoptic=panoptic)


TRANSFORMS: dict[str, Transform] = {
    "as it is": Compose([]),
    "Resize(200)": Resize(200),
    "ResizeShortest(100)": ResizeShortest(100),
    "ResizeLongest(800)": ResizeLongest(800),
    "Letterbox(256)": Letterbox(256),
    "HorizontalFlip": HorizontalFlip(1.0),
    "VerticalFlip": VerticalFlip(1.0),
    "Rotate(40)": Rotate((25, 40)),
    "Elastic(std=25)": Elastic(25.0),
    "RandomCrop(180)": RandomCrop(180),
    "CentreCrop(320)": CentreCrop(320),
    "RandomResizedCrop(224)": RandomResizedCrop(224),
    "ScaleJitter(0.1, 2, 256)": ScaleJitter(0.1, 2.0, 256),
    "CropKeepingBoxes": CropKeepingBoxes((0.5, 0.7)),
    "ZoomOut": ZoomOut(3.0, 1.0),
    "Colour": Colour(0.4, 0.5, 0.7, 0.3, 1.0),
    "Grey": Grey(1.0),
    "Blur": Blur((4.0, 5.0), 1.0),
    "Noise": Noise(80.0, 1.0),
    "Mosaic(320)": Compose([HorizontalFlip(), Rotate(30), Mosaic(320, (0.5, 1.0))]),
    "MixUp": Compose([HorizontalFlip(), Rotate(20), MixUp(ratio=0.5)]),
}


def draw(axes: Axes, pair: Pair, title: str) -> None:
    """Masks (yellow, eyes cyan), boxes (red), keypoints (left green, right blue), semantic borders (white)."""
    image, said = pair
    H, W = said.size
    axes.imshow(image.permute(1, 2, 0).numpy(), extent=(0, W, H, 0))
    if said.semantic is not None:
        classes = np.where(said.semantic.numpy() == 255, 2, said.semantic.numpy())
        if len(np.unique(classes)) > 1:
            xs, ys = np.arange(W) + 0.5, np.arange(H) + 0.5
            axes.contour(xs, ys, classes, levels=[0.5, 1.5], colors="white", linewidths=0.8, linestyles="dotted")
    instances = said.instances if said.instances is not None else Instances.empty()
    for i in range(len(instances)):
        x1, y1, x2, y2 = instances.boxes[i].tolist()
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="red", linewidth=1.2))
        if instances.masks is not None:
            colour = (1, 1, 0, 0.15) if instances.labels[i] == 0 else (0, 1, 1, 0.4)
            tint = np.zeros((H, W, 4))
            tint[instances.masks[i : i + 1].to_bool()[0].numpy()] = colour
            axes.imshow(tint, extent=(0, W, H, 0), interpolation="nearest")
        if instances.keypoints is not None:
            for (x, y, visible), dot in zip(instances.keypoints[i].tolist(), ("orange", "lime", "blue"), strict=True):
                if visible:
                    axes.plot(x, y, "o", color=dot, markersize=4, markeredgecolor="black")
    axes.set_xlim(0, W)
    axes.set_ylim(H, 0)
    axes.set_axis_off()
    cut = bool(instances.truncated.any())
    axes.set_title(f"{title}\n{W} × {H}{', cut' if cut else ''}", fontsize=8)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    figure, grid = plt.subplots(3, 7, figsize=(14, 7.2))
    for seed, (axes, (title, transform)) in enumerate(zip(grid.flat, TRANSFORMS.items(), strict=True)):
        others = [chelsea() for _ in range(transform.needs)]
        pair = transform(*chelsea(), torch.Generator().manual_seed(seed), others=others)
        draw(axes, pair, title)
    figure.tight_layout(pad=0.4)
    figure.savefig(PICTURES / "transforms.jpg", dpi=110, pil_kwargs={"quality": 88, "optimize": True})


if __name__ == "__main__":
    main()
