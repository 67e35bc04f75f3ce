"""The protocols of the benchmarks, each as its own code has it; see docs/scores.md for the sources."""

from dataclasses import replace

from pellucid.errors import PellucidError, nearest
from pellucid.metrics.detection.protocol import COCO_AREAS, COCO_THRESHOLDS, Figure, Protocol

_EPSILON = 2.220446049250313e-16


def _coco_figures(areas: tuple[str, ...], limits: tuple[int, ...]) -> tuple[Figure, ...]:
    last = limits[-1]
    many = len(limits) > 1
    return (
        Figure("AP", "AP", limit=last),
        Figure("AP50", "AP", 0.5, limit=last),
        Figure("AP75", "AP", 0.75, limit=last),
        *(Figure(f"AP_{area}", "AP", area=area, limit=last) for area in areas),
        *(
            (Figure(f"AR{limit}", "AR", limit=limit) for limit in limits)
            if many
            else (
                Figure("AR", "AR", limit=last),
                Figure("AR50", "AR", 0.5, limit=last),
                Figure("AR75", "AR", 0.75, limit=last),
            )
        ),
        *(Figure(f"AR_{area}", "AR", area=area, limit=last) for area in areas),
    )


COCO = Protocol(
    name="coco",
    title="COCO, boxes",
    figures=_coco_figures(("small", "medium", "large"), (1, 10, 100)),
    thresholds=COCO_THRESHOLDS,
    later_wins=True,
    crowd="ignored",
    areas=COCO_AREAS,
    limits=(1, 10, 100),
    interpolation="101 points",
    epsilon=_EPSILON,
    official="pycocotools 2.0",
)
COCO_MASKS = replace(COCO, name="coco-segm", title="COCO, masks", geometry="masks")
COCO_BOUNDARIES = replace(
    COCO, name="coco-boundary", title="COCO, boundaries of masks", geometry="boundaries", official="boundary_iou_api"
)
COCO_KEYPOINTS = replace(
    COCO,
    name="coco-keypoints",
    title="COCO, keypoints",
    geometry="keypoints",
    figures=_coco_figures(("medium", "large"), (20,)),
    areas={name: bounds for name, bounds in COCO_AREAS.items() if name != "small"},
    limits=(20,),
)
VOC2007 = Protocol(
    name="voc2007",
    title="Pascal VOC 2007, 11 points",
    figures=(Figure("mAP", "AP"),),
    matching="best",
    inclusive=True,
    difficult="ignored",
    interpolation="11 points",
    official="VOC development kit 2007",
)
VOC2012 = replace(
    VOC2007,
    name="voc2012",
    title="Pascal VOC 2010 to 2012, all points",
    interpolation="all points",
    official="VOC development kit 2012",
)
ILSVRC = Protocol(
    name="ilsvrc",
    title="ILSVRC detection",
    figures=(Figure("mAP", "AP"),),
    matching="own threshold",
    inclusive=True,
    small_boxes=True,
    official="ILSVRC development kit",
)
OPEN_IMAGES = Protocol(
    name="openimages",
    title="Open Images V4 and challenge",
    figures=(Figure("mAP", "AP"),),
    matching="best",
    groups="absorb",
    hierarchy=True,
    verified=True,
    empty="drop",
    limits=(10_000,),
    official="TensorFlow object detection API, Open Images challenge",
)
OPEN_IMAGES_V2 = replace(
    OPEN_IMAGES, name="openimages-v2", title="Open Images V2", groups="ignore", hierarchy=False, verified=False
)
LVIS = replace(
    COCO,
    name="lvis",
    title="LVIS, boxes",
    figures=(
        Figure("AP", "AP", limit=300),
        Figure("AP50", "AP", 0.5, limit=300),
        Figure("AP75", "AP", 0.75, limit=300),
        *(Figure(f"AP_{area}", "AP", area=area, limit=300) for area in ("small", "medium", "large")),
        *(Figure(f"AP_{tag}", "AP", frequency=tag, limit=300) for tag in ("rare", "common", "frequent")),
        Figure("AR300", "AR", limit=300),
        *(Figure(f"AR_{area}", "AR", area=area, limit=300) for area in ("small", "medium", "large")),
    ),
    limits=(300,),
    per_image=300,
    federated=True,
    official="lvis-api",
)
LVIS_MASKS = replace(LVIS, name="lvis-segm", title="LVIS, masks", geometry="masks")

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        COCO, COCO_MASKS, COCO_BOUNDARIES, COCO_KEYPOINTS, VOC2007, VOC2012, ILSVRC, OPEN_IMAGES, OPEN_IMAGES_V2,
        LVIS, LVIS_MASKS,
    )
}  # fmt: skip
"""Every detection protocol by its name."""


def custom(
    thresholds: tuple[float, ...] = (0.5,), *, name: str = "custom", generalised: bool = False, **changes: object
) -> Protocol:
    """A protocol of one's own: AP over any thresholds, by IoU or GIoU, all else as COCO has it unless ``changes`` says
    otherwise.

    ``changes``: fields of ``Protocol``. Raises PellucidError for what is no field.
    """
    unknown = next((key for key in changes if key not in Protocol.__dataclass_fields__), None)
    if unknown is not None:
        raise PellucidError(f"protocol: unknown field '{unknown}'{nearest(unknown, Protocol.__dataclass_fields__)}")
    figures = [Figure("AP", "AP", limit=100)]
    figures += [Figure(f"AP@{t:g}", "AP", t, limit=100) for t in thresholds]
    figures.append(Figure("AR100", "AR", limit=100))
    fields: dict[str, object] = {"figures": tuple(figures), "limits": (1, 10, 100), "official": ""}
    return replace(
        COCO,
        name=name,
        title=f"{'GIoU' if generalised else 'IoU'} at {', '.join(f'{t:g}' for t in thresholds)}",
        thresholds=thresholds,
        generalised=generalised,
        **(fields | changes),  # type: ignore[arg-type]
    )
