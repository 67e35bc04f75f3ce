"""Which anchors or proposals of an image the loss looks at."""

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.ops.matching import BELOW


def sample(matches: Tensor, count: int, positive_share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws positives and negatives of one image: two int64 tensors of positions in ``matches``, each ascending.

    ``matches``: int64 (A,) as ``match`` gives them: ≥ 0 positive, −1 negative, −2 neither. At most
    int(count · positive_share) positives are drawn; negatives fill up to ``count``, as far as there are any. (Faster
    R-CNN: 256 at .5; Fast R-CNN: 64 at .25.) Drawn on the generator's device, so that a seed repeats on all others.
    Raises PellucidError for another shape, a count below 1 and a share outside [0, 1].
    Source: Ren et al., 'Faster R-CNN', 2015, section 3.1.3.
    """
    if matches.ndim != 1:
        raise PellucidError(f"sampling: matches of shape {tuple(matches.shape)}; give those of one image, (A,)")
    if count < 1 or not 0 <= positive_share <= 1:
        raise PellucidError(f"sampling: {count} with a share of {positive_share} positives; give ≥ 1, and 0 to 1")
    positive = _some(torch.nonzero(matches >= 0).flatten(), int(count * positive_share), generator)
    negative = _some(torch.nonzero(matches == BELOW).flatten(), count - len(positive), generator)
    return positive, negative


def _some(positions: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """``most`` of the positions, drawn without putting back, or all where there are no more."""
    if len(positions) <= most:
        return positions
    drawn = torch.randperm(len(positions), generator=generator, device=generator.device)[:most]
    return positions[drawn.sort().values.to(positions.device)]
