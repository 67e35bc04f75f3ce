"""Keypoints: what the points of a class are called, which are joined, and which change places in a mirror."""

from dataclasses import dataclass

from pellucid.errors import PellucidError

UNLABELLED, HIDDEN, VISIBLE = 0, 1, 2
"""The third number of a keypoint, as in COCO: not labelled (its place means nothing), labelled but hidden, visible."""


@dataclass(frozen=True)
class KeypointNames:
    """The keypoints of a class.

    ``names``: one a keypoint, in order. ``skeleton``: pairs of indices that a drawing joins. ``flip``: for each
    keypoint the one that takes its place in a mirrored image; by default found from 'left' and 'right' in the names.
    Raises PellucidError for an index without keypoint.
    """

    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...] = ()
    flip: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.flip:
            object.__setattr__(self, "flip", self._mirrored())
        known = range(len(self.names))
        for index in (*self.flip, *(i for edge in self.skeleton for i in edge)):
            if index not in known:
                raise PellucidError(
                    f"keypoints: index {index} stands in the skeleton or flip, but there are {len(known)}"
                )
        if sorted(self.flip) != list(known):
            raise PellucidError("keypoints: flip must name every keypoint exactly once")

    def _mirrored(self) -> tuple[int, ...]:
        """By the names: each left one's right one, and the other way round; itself where there is no such pair."""
        place = {name: index for index, name in enumerate(self.names)}
        if len(place) < len(self.names):
            return tuple(range(len(self.names)))  # names that stand twice say nothing
        made = list(range(len(self.names)))
        for name, index in place.items():
            other = place.get(name.replace("left", "right"), index)
            if "left" in name and made[index] == index and made[other] == other:
                made[index], made[other] = other, index
        return tuple(made)

    def __len__(self) -> int:
        return len(self.names)


PERSON = KeypointNames(
    (
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee"),
        *("right_knee", "left_ankle", "right_ankle"),
    ),
    (
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
        *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
)
"""The 17 keypoints of a person in COCO."""
