"""A receptive field: the box of the frame that each unit of a layer sees."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ReceptiveField:
    """What each unit of a layer depends on, within the network's frame.

    ``rows``: (h, 2) int64, for each row of the layer's grid the half-open interval [first, last) of the frame's rows;
    ``columns``: (w, 2), the same across. The receptive field of the unit at (row, column) is exactly their product:
    the smallest box that holds every pixel the unit depends on, clipped to the frame. A layer without positions has
    one row and one column. A unit that reads nothing but padding has an empty interval [0, 0).
    """

    rows: Tensor
    columns: Tensor

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 of a unit's receptive field in the frame's pixels."""
        (y1, y2), (x1, x2) = self.rows[row].tolist(), self.columns[column].tolist()
        return x1, y1, x2, y2
