"""Rankings: the k photos with the largest values, for many rows at once, taken in as a stream."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ranking:
    """The k photos with the largest values of each channel, class or objective; of equal values the earlier photo's.

    ``values``: (C, k) float32, descending; −∞ where there are fewer than k photos. ``photos``: (C, k) int64, index into
    the list of photos; −1 where there are fewer. ``positions``: (C, k, 2) int64, row and column of the layer's grid; −1
    where the layer has none.
    """

    values: Tensor
    photos: Tensor
    positions: Tensor

    @classmethod
    def empty(cls, count: int, k: int) -> "Ranking":
        """``count`` rows that rank nothing yet."""
        return cls(
            torch.full((count, k), -torch.inf),
            torch.full((count, k), -1, dtype=torch.int64),
            torch.full((count, k, 2), -1, dtype=torch.int64),
        )

    @property
    def k(self) -> int:
        """How many photos a row holds."""
        return self.values.shape[1]

    def entering(self, values: Tensor) -> Tensor:
        """Which of (N, C) values of later photos are among the best k so far: a bool (N, C)."""
        return values > self.values[:, -1]

    def taken_in(self, values: Tensor, photos: Tensor, positions: Tensor) -> "Ranking":
        """The ranking of these and more photos, which all come later in the list and among themselves in its order.

        ``values``, ``photos``: (C, m). ``positions``: (C, m, 2).
        """
        values = torch.cat([self.values, values], 1)
        # A stable order puts the photo that stands first first, where values are equal.
        order = values.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        photos = torch.cat([self.photos, photos], 1).gather(1, order)
        positions = torch.cat([self.positions, positions], 1).gather(1, order[:, :, None].expand(-1, -1, 2))
        return Ranking(values.gather(1, order), photos, positions)

    def shifted(self, offset: int) -> "Ranking":
        """The same, its photos' numbers moved by ``offset``."""
        return Ranking(self.values, torch.where(self.photos >= 0, self.photos + offset, -1), self.positions)


@dataclass(frozen=True)
class Scores:
    """What some photos reach: ``values`` (N, C) float32 on the CPU, and ``positions`` (N, C, 2) int64.

    Positions are looked up where a value enters the ranking, and −1 elsewhere.
    """

    values: Tensor
    positions: Tensor

    @classmethod
    def of(cls, values: Tensor, grid: Tensor | None, ranking: Ranking | None) -> "Scores":
        """``values`` (N, C), of which ``grid`` (N, C, h, w) has the positions; ``ranking``: what they have to beat."""
        found = values.float().cpu()
        positions = torch.full((*found.shape, 2), -1, dtype=torch.int64)
        if grid is not None:
            wanted = torch.ones_like(found, dtype=torch.bool) if ranking is None else ranking.entering(found)
            image, channel = wanted.nonzero(as_tuple=True)
            flat = grid[image.to(grid.device), channel.to(grid.device)].flatten(1).argmax(1).cpu()
            width = grid.shape[-1]
            positions[image, channel] = torch.stack([flat // width, flat % width], 1)
        return cls(found, positions)

    @classmethod
    def together(cls, parts: list["Scores"], order: Tensor) -> "Scores":
        """Those of several batches as one, image ``order[i]`` in place i."""
        values, positions = (torch.cat([getattr(part, name) for part in parts]) for name in ("values", "positions"))
        return cls(values[order], positions[order])

    def into(self, ranking: Ranking | None, photos: Tensor, k: int) -> Ranking:
        """The ranking with these photos (N,), which come after all that it holds."""
        ranking = ranking or Ranking.empty(self.values.shape[1], k)
        rows = ranking.entering(self.values).any(0).nonzero()[:, 0]
        if not len(rows):
            return ranking
        part = Ranking(ranking.values[rows], ranking.photos[rows], ranking.positions[rows]).taken_in(
            self.values[:, rows].T, photos.expand(len(rows), -1), self.positions[:, rows].transpose(0, 1)
        )
        return Ranking(
            ranking.values.index_copy(0, rows, part.values),
            ranking.photos.index_copy(0, rows, part.photos),
            ranking.positions.index_copy(0, rows, part.positions),
        )
