"""Diversity: images of one objective that differ from each other in style."""

import torch
from torch import Tensor

from pellucid.explain.grids import as_grid
from pellucid.explain.objectives import Objective, Pass


def style_similarities(activation: Tensor) -> Tensor:
    """(N, N): ⟨G_i, G_j⟩ of the images' Gram matrices over space, each of length 1; ``activation``: (N, C, h, w).

    Two images are alike in style where the same channels fire together, wherever in the image that is.
    Source: Olah et al. 2017, "Diversity".
    """
    flat = activation.flatten(2)
    # ⟨A Aᵀ, B Bᵀ⟩ = |Aᵀ B|²: with fewer positions than channels the small product is taken
    if flat.shape[2] < flat.shape[1]:
        products = torch.einsum("icp,jcq->ijpq", flat, flat).square().sum((2, 3))
    else:
        grams = flat @ flat.transpose(1, 2)
        products = torch.einsum("icd,jcd->ij", grams, grams)
    lengths = products.diagonal().clamp(min=1e-20).sqrt()
    return products / (lengths[:, None] * lengths)


def similarity(layer: str) -> Objective:
    """How alike a batch's images are in style at a layer: for image i, Σ_{j≠i} ⟨G_i, G_j⟩ / N.

    Subtract it to make them differ: ``channel(layer, 42) - 10 * similarity(layer)``. The sum over the batch is
    lucid's diversity term. Raises, when evaluated, PellucidError where the layer has no positions.
    """

    def value(forward: Pass) -> Tensor:
        h, w = forward.frame.shape[-2:]
        between = style_similarities(as_grid(forward.activations[layer], h / w, layer))
        return (between.sum(1) - between.diagonal()) / len(between)

    return Objective(f"similarity in {layer}", (layer,), False, value)
