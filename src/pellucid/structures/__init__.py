"""What flows through Pellucid: photos, classes, annotations, and where a network's frame lies on a photo."""

from pellucid.structures.annotations import Annotations, ClassScore
from pellucid.structures.classes import Classes
from pellucid.structures.photo import Photo, find_photos, read_photo
from pellucid.structures.placement import Placement

__all__ = ["Annotations", "ClassScore", "Classes", "Photo", "Placement", "find_photos", "read_photo"]
