"""How far two attributions of the same thing are apart."""

import torch
from torch import Tensor

LIMIT = 1e-5
"""The largest relative difference at which two implementations count as the same."""


def relative(ours: Tensor, theirs: Tensor) -> float:
    """max |ours − theirs| / max |theirs|, of maps that are not all zero."""
    theirs = torch.as_tensor(theirs).detach().double().squeeze()
    ours = ours.detach().double().squeeze()
    assert ours.shape == theirs.shape
    top = float(theirs.abs().max())
    assert top > 0, "the peer's map is all zero, so it shows nothing"
    return float((ours - theirs).abs().max()) / top
