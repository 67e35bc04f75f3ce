"""What flows through Pellucid: photos, classes, what is said of an image, and where a network's frame lies on it."""

from pellucid.structures.annotations import Annotations, ClassScore
from pellucid.structures.boxes import BoxFormat, box_areas, clip_boxes, convert_boxes
from pellucid.structures.classes import Classes
from pellucid.structures.columns import HasColumns, ObjectColumns, columns_of
from pellucid.structures.instances import FLAG_BITS, FLAGS, Instances
from pellucid.structures.keypoints import PERSON, KeypointNames
from pellucid.structures.masks import Mask, Masks
from pellucid.structures.panoptic import IGNORE, Panoptic, Segment
from pellucid.structures.photo import Photo, find_photos, read_photo
from pellucid.structures.placement import Placement
from pellucid.structures.polygons import Polygons
from pellucid.structures.run_lengths import RunLengths
from pellucid.structures.sample import Sample

__all__ = [
    "FLAGS",
    "FLAG_BITS",
    "IGNORE",
    "PERSON",
    "Annotations",
    "BoxFormat",
    "ClassScore",
    "Classes",
    "HasColumns",
    "Instances",
    "KeypointNames",
    "Mask",
    "Masks",
    "ObjectColumns",
    "Panoptic",
    "Photo",
    "Placement",
    "Polygons",
    "RunLengths",
    "Sample",
    "Segment",
    "box_areas",
    "clip_boxes",
    "columns_of",
    "convert_boxes",
    "find_photos",
    "read_photo",
]
