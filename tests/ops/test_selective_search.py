"""Selective search: first regions, similarities and groupings by hand and by brute force, boxes of whole images."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import label
from skimage.color import rgb2hsv, rgb2lab
from skimage.segmentation import felzenszwalb
from torch import Tensor
from torchvision.ops import box_iou

import pellucid
from pellucid import threads
from pellucid.errors import PellucidError
from pellucid.ops.selective_search import selective_search
from pellucid.ops.selective_search.colour_spaces import converted
from pellucid.ops.selective_search.merge_kernels import similarity
from pellucid.ops.selective_search.merging import Bins, Hierarchy, Regions
from pellucid.ops.selective_search.segment_kernels import in_order
from pellucid.ops.selective_search.segments import segmented
from pellucid.ops.selective_search.strategies import COLOUR_TEXTURE_SIZE_FILL, FILL, SIZE, STRATEGIES, Similarity

EIGHT = np.ones((3, 3))


def noise(C: int, H: int, W: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 255, (C, H, W)).astype(np.float32)


def rgb(H: int, W: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, H, W), dtype=np.uint8))


def halves(H: int = 8, W: int = 10) -> NDArray[np.float32]:
    image = np.zeros((3, H, W), dtype=np.float32)
    image[:, :, W // 2 :] = 200
    return image


# First regions


def test_two_halves_are_two_regions() -> None:
    labels, count = segmented(halves(), k=50, min_size=1, sigma=0)
    assert count == 2
    assert (labels[:, :5] == 0).all()
    assert (labels[:, 5:] == 1).all()


def test_a_region_below_the_least_size_joins_its_neighbour() -> None:
    image = np.zeros((1, 6, 6), dtype=np.float32)
    image[0, 2:4, 2:4] = 250
    assert segmented(image, k=10, min_size=4, sigma=0)[1] == 2
    assert segmented(image, k=10, min_size=5, sigma=0)[1] == 1


def test_k_is_weighed_against_the_edge() -> None:
    # Two flat halves of 40 pixels each: they join where the step between them is at most k / 40.
    image = np.zeros((1, 8, 10), dtype=np.float32)
    image[:, :, 5:] = 2
    assert segmented(image, k=79, min_size=1, sigma=0)[1] == 2
    assert segmented(image, k=80, min_size=1, sigma=0)[1] == 1


def test_a_checkerboard_of_big_cells_keeps_its_colours_together() -> None:
    # Cells of one colour touch at their corners, and eight directions count: two regions, not sixteen.
    board = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((8, 8)))[None].astype(np.float32) * 255
    labels, count = segmented(board, k=50, min_size=1, sigma=0)
    assert count == 2
    assert ((labels == 1) == (board[0] > 0)).all()


def test_a_checkerboard_of_pixels_is_two_interleaved_regions() -> None:
    board = (np.indices((6, 7)).sum(0) % 2)[None].astype(np.float32) * 255
    labels, count = segmented(board, k=1, min_size=1, sigma=0)
    assert count == 2
    assert ((labels == 1) == (board[0] > 0)).all()


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3),
    st.integers(1, 24),
    st.integers(1, 24),
    st.sampled_from([1, 20, 200, 2000]),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.8]),
    st.integers(0, 9),
)
def test_regions_are_numbered_connected_and_large_enough(
    C: int, H: int, W: int, k: int, min_size: int, sigma: float, seed: int
) -> None:
    labels, count = segmented(noise(C, H, W, seed), k, min_size, sigma)
    assert labels.shape == (H, W)
    seen, first = np.unique(labels, return_index=True)
    assert seen.tolist() == list(range(count))
    assert (np.diff(first) > 0).all()  # numbered as a reader meets them
    assert np.bincount(labels.ravel()).min() >= min(min_size, H * W)
    assert all(label(labels == r, EIGHT)[1] == 1 for r in range(count))


@pytest.mark.parametrize(("k", "min_size"), [(100, 1), (800, 1), (800, 30), (1000, 5)])
def test_the_same_regions_as_scikit_image(k: int, min_size: int) -> None:
    image = noise(3, 40, 50)
    ours, _ = segmented(image, k, min_size, sigma=0)
    theirs = felzenszwalb(image.transpose(1, 2, 0).astype(float) / 255, scale=k, sigma=0, min_size=min_size)
    assert len(np.unique(ours)) == len(np.unique(theirs)) > 3
    assert len(np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1).T) == len(np.unique(ours))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 500, width=32), max_size=60))
def test_the_radix_sort_is_a_stable_sort(weights: list[float]) -> None:
    array = np.array(weights, dtype=np.float32) + np.float32(0)  # −0.0 has other bits; a distance is never it
    assert in_order(array).tolist() == np.argsort(array, kind="stable").tolist()


# Colour spaces


def test_colour_spaces_agree_with_scikit_image() -> None:
    image = rgb(20, 30).numpy()
    last = image.transpose(1, 2, 0)
    assert np.abs(converted(image, "hsv") - 255 * rgb2hsv(last).transpose(2, 0, 1)).max() < 1e-2
    lab = (
        rgb2lab(last).transpose(2, 0, 1) * np.array([2.55, 1, 1])[:, None, None]
        + np.array([0, 128, 128])[:, None, None]
    )
    assert np.abs(converted(image, "lab") - lab).max() < 0.1
    assert (converted(image, "hue") == converted(image, "hsv")[:1]).all()


def test_shares_of_red_and_green() -> None:
    image = np.array([[0, 255, 30], [0, 0, 60], [0, 0, 10]], dtype=np.uint8).reshape(3, 1, 3)
    shares = converted(image, "rgi")[:, 0].T
    assert shares[0].tolist() == [85, 85, 0]
    assert shares[1] == pytest.approx([255, 0, 0.299 * 255])
    assert shares[2] == pytest.approx([76.5, 153, 0.299 * 30 + 0.587 * 60 + 1.14])
    assert converted(image, "intensity")[0, 0] == pytest.approx(shares[:, 2])


@pytest.mark.parametrize("space", STRATEGIES["quality"].colour_spaces)
def test_every_colour_lies_in_the_range_of_the_bins(space: str) -> None:
    steps = np.array([0, 1, 100, 254, 255], dtype=np.uint8)
    image = np.stack(np.meshgrid(steps, steps, steps)).reshape(3, 5, 25)
    channels = converted(image, space)  # type: ignore[arg-type]
    assert channels.min() >= 0
    assert channels.max() <= 255
    assert Bins.of(channels).colours.max() <= 24


# Similarities


def test_similarities_by_hand() -> None:
    # An image of 3 × 4 pixels; p: 2 pixels, box 1 × 2; q: 4 pixels, box 2 × 2 beside it; colours up to bin 2.
    histograms = np.array([[0.25, 0.75, 0.5, 0.5], [0.5, 0.5, 1.0, 0.0]], dtype=np.float32)
    p, q = np.array([0, 0, 1, 2], dtype=np.int32), np.array([1, 1, 3, 3], dtype=np.int32)

    def of(*flags: bool) -> float:
        return similarity(histograms, 2, np.array(flags), 12, (0, 1), (2, 4), p, q)

    assert of(True, False, False, False) == 0.75  # min(.25, .5) + min(.75, .5)
    assert of(False, True, False, False) == 0.5  # min(.5, 1) + min(.5, 0)
    assert of(False, False, True, False) == 0.5  # 1 − (2 + 4) / 12
    assert of(False, False, False, True) == 0.75  # their common box: 3 × 3; 1 − (9 − 6) / 12
    assert of(True, True, True, True) == 2.5


def test_histograms_by_hand() -> None:
    # Left half 0, right half 255: colours in the first and the last bin of 25; the rise goes to the right alone.
    image = np.zeros((1, 5, 12), dtype=np.float32)
    image[:, :, 6:] = 255
    labels = (image[0] > 0).astype(np.int32)
    regions = Regions.of(labels, 2, Bins.of(image))
    assert regions.sizes.tolist() == [30, 30]
    assert regions.boxes.tolist() == [[0, 0, 6, 5], [6, 0, 12, 5]]
    assert regions.neighbours.tolist() == [[0, 1]]
    assert regions.split == 25
    assert regions.histograms.shape == (2, 25 + 80)
    assert regions.histograms[:, [0, 24]].tolist() == [[1, 0], [0, 1]]
    textures = regions.histograms[:, 25:].reshape(2, 8, 10)
    assert textures.sum(axis=(1, 2)) == pytest.approx([1, 1])
    # Gaussian derivatives .5, 1.5, 2.5 … px from the edge, against the steepest: 1, e⁻¹ = .37, e⁻³ = .05; bins 9, 3, 0.
    assert textures[0, 0] * 8 * 6 == pytest.approx([4, 0, 0, 1, 0, 0, 0, 0, 0, 1])
    # At 45° they are shorter by cos 45°: .71, .26, .04.
    assert textures[0, 1] * 8 * 6 == pytest.approx([4, 0, 1, 0, 0, 0, 0, 1, 0, 0])
    assert textures[0, 1] == pytest.approx(textures[0, 7])
    assert all(textures[0, d] * 8 == pytest.approx([1] + [0] * 9) for d in (2, 3, 4, 5, 6))


def test_neighbours_touch_at_corners_too() -> None:
    labels = np.array([[0, 0, 1], [0, 2, 3]], dtype=np.int32)
    regions = Regions.of(labels, 4, Bins.of(np.zeros((1, 2, 3), dtype=np.float32)))
    assert regions.neighbours.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


# Groupings


def test_a_grouping_by_size_by_hand() -> None:
    # A row of regions of 1, 2, 3 and 10 pixels: the two smallest neighbours join first, again and again.
    labels = np.repeat([0, 1, 2, 3], [1, 2, 3, 10])[None].astype(np.int32)
    regions = Regions.of(labels, 4, Bins.of(np.zeros((1, 1, 16), dtype=np.float32)))
    hierarchy = Hierarchy.of(regions, SIZE)
    assert hierarchy.parts.tolist() == [[0, 1], [2, 4], [3, 5]]
    assert hierarchy.boxes[4:].tolist() == [[0, 0, 3, 1], [0, 0, 6, 1], [0, 0, 16, 1]]


def test_of_equally_similar_neighbours_the_older_join_first() -> None:
    labels = np.arange(4, dtype=np.int32)[None]
    regions = Regions.of(labels, 4, Bins.of(np.zeros((1, 1, 4), dtype=np.float32)))
    assert Hierarchy.of(regions, SIZE).parts.tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("measures", [COLOUR_TEXTURE_SIZE_FILL, FILL, SIZE, Similarity(texture=True)])
@pytest.mark.parametrize("seed", range(3))
def test_every_merger_joins_the_most_similar_neighbours(measures: Similarity, seed: int) -> None:
    """All is measured again from the pixels of today's regions, so what is handed on at mergers is checked as well."""
    H, W, n = 11, 13, 14
    rng = np.random.default_rng(seed)
    seeds = rng.permutation(H * W)[:n]
    places = np.stack(np.divmod(np.arange(H * W), W), axis=1)
    labels = ((places[:, None] - places[seeds][None]) ** 2).sum(-1).argmin(1).reshape(H, W).astype(np.int32)
    bins = Bins.of(noise(3, H, W, seed))
    hierarchy = Hierarchy.of(Regions.of(labels, n, bins), measures)
    flags = np.array([measures.colour, measures.texture, measures.size, measures.fill])

    now = labels.copy()
    alive = set(range(n))
    for step, (a, b) in enumerate(hierarchy.parts.tolist()):
        numbers = np.array(sorted(alive))
        today = Regions.of(np.searchsorted(numbers, now).astype(np.int32), len(numbers), bins)
        said = {
            (numbers[i], numbers[j]): similarity(
                today.histograms,
                today.split,
                flags,
                H * W,
                (i, j),
                (today.sizes[i], today.sizes[j]),
                today.boxes[i],
                today.boxes[j],
            )
            for i, j in today.neighbours.tolist()
        }
        assert said[min(a, b), max(a, b)] >= max(said.values()) - 1e-5
        now[(now == a) | (now == b)] = n + step
        alive = alive - {a, b} | {n + step}
        ys, xs = np.nonzero(now == n + step)
        assert hierarchy.boxes[n + step].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert alive == {2 * n - 2}


# Boxes of images


@pytest.fixture(scope="module")
def scene() -> Tensor:
    return pellucid.open_dataset("scenes:n=4,seed=0")[0].image


@pytest.mark.parametrize(("mode", "least"), [("fast", 0.85), ("quality", 0.95)])
def test_objects_of_scenes_are_found(mode: str, least: float) -> None:
    best = []
    for sample in pellucid.open_dataset("scenes:n=4,seed=0"):
        assert sample.annotations.instances is not None
        boxes = selective_search(sample.image, mode)  # type: ignore[arg-type]
        best.append(box_iou(sample.annotations.instances.boxes, boxes).amax(dim=1))
    assert (torch.cat(best) >= 0.5).double().mean() >= least


def test_a_plain_rectangle_is_found_to_the_pixel() -> None:
    image = torch.full((3, 60, 80), 30, dtype=torch.uint8)
    image[:, 20:45, 10:60] = torch.tensor([200, 40, 60], dtype=torch.uint8)[:, None, None]
    overlaps = box_iou(torch.tensor([[10.0, 20.0, 60.0, 45.0]]), selective_search(image))
    assert overlaps.max() > 0.9


def test_the_form_of_the_boxes(scene: Tensor) -> None:
    boxes = selective_search(scene)
    _, H, W = scene.shape
    assert boxes.dtype == torch.float32
    assert boxes.shape[1:] == (4,)
    assert (boxes == boxes.round()).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert boxes.min() >= 0
    assert (boxes <= torch.tensor([W, H, W, H])).all()
    assert len(boxes.unique(dim=0)) == len(boxes)
    assert (boxes == torch.tensor([0, 0, W, H])).all(dim=1).any()


def test_the_seed_gives_the_order_and_nothing_else(scene: Tensor) -> None:
    first, again, other = (selective_search(scene, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first.unique(dim=0), other.unique(dim=0))


def test_regions_high_in_the_hierarchy_come_first(scene: Tensor) -> None:
    boxes = selective_search(scene)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    quarter = len(boxes) // 4
    assert areas[:quarter].median() > 2 * areas[-quarter:].median()


def test_the_limit_keeps_the_first(scene: Tensor) -> None:
    boxes = selective_search(scene)
    for limit in (0, 1, 20, len(boxes) + 5):
        assert torch.equal(selective_search(scene, limit=limit), boxes[:limit])


def test_small_boxes_can_be_left_out_before_the_limit(scene: Tensor) -> None:
    boxes = selective_search(scene)
    wide = boxes[((boxes[:, 2:] - boxes[:, :2]) >= 20).all(dim=1)]
    assert 0 < len(wide) < len(boxes)
    assert torch.equal(selective_search(scene, min_side=20), wide)
    assert torch.equal(selective_search(scene, min_side=20, limit=5), wide[:5])


@pytest.mark.parametrize("mode", ["fast", "quality"])
def test_any_number_of_threads_gives_the_same(scene: Tensor, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    found = []
    for cores in (1, 3, 16):
        monkeypatch.setattr(threads, "cores", lambda cores=cores: cores)
        found.append(selective_search(scene, mode))  # type: ignore[arg-type]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_arrays_views_and_tensors_are_the_same_image() -> None:
    image = rgb(30, 40)
    boxes = selective_search(image)
    assert torch.equal(selective_search(image.numpy()), boxes)
    assert torch.equal(selective_search(image.permute(1, 2, 0).contiguous().permute(2, 0, 1)), boxes)
    assert torch.equal(image, rgb(30, 40))  # and stays as it was


@pytest.mark.parametrize("mode", ["fast", "quality"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 2), (16, 16), (3, 200)])
def test_odd_sizes(size: tuple[int, int], mode: str) -> None:
    H, W = size
    for image in (rgb(H, W), torch.full((3, H, W), 7, dtype=torch.uint8), rgb(H, W)[:1].expand(3, -1, -1)):
        boxes = selective_search(image, mode)  # type: ignore[arg-type]
        assert (boxes == torch.tensor([0, 0, W, H])).all(dim=1).sum() == 1
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes <= torch.tensor([W, H, W, H])).all()


def test_an_image_of_one_colour_is_one_box() -> None:
    for value in (0, 128, 255):
        image = torch.full((3, 50, 70), value, dtype=torch.uint8)
        assert selective_search(image, "quality").tolist() == [[0, 0, 70, 50]]


def test_there_are_no_more_boxes_than_regions() -> None:
    """A hierarchy of n first regions has n − 1 mergers: fast mode never gives more than 8 × (2n − 1) boxes."""
    image = rgb(40, 40)
    most = sum(
        2 * (2 * segmented(converted(image.numpy(), space), k, k)[1] - 1)
        for space in STRATEGIES["fast"].colour_spaces
        for k in STRATEGIES["fast"].thresholds
    )
    assert 0 < len(selective_search(image)) <= most


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(3, 5, 5),
        torch.zeros(5, 5, 3, dtype=torch.uint8),
        torch.zeros(1, 5, 5, dtype=torch.uint8),
        torch.zeros(5, 5, dtype=torch.uint8),
        torch.zeros(3, 0, 5, dtype=torch.uint8),
        np.zeros((3, 5, 5), dtype=np.int64),
    ],
)
def test_other_things_than_images_are_refused(image: Tensor) -> None:
    with pytest.raises(PellucidError, match=r"uint8 RGB \(3, H, W\)"):
        selective_search(image)


def test_unknown_modes_and_negative_limits_are_refused() -> None:
    with pytest.raises(PellucidError, match="did you mean 'quality'"):
        selective_search(rgb(4, 4), "qualty")  # type: ignore[arg-type]
    with pytest.raises(PellucidError, match="limit -1"):
        selective_search(rgb(4, 4), limit=-1)


def test_the_modes_have_the_papers_strategies() -> None:
    fast, quality = STRATEGIES["fast"], STRATEGIES["quality"]
    counts = [len(list(s.colour_spaces)) * len(s.thresholds) * len(s.similarities) for s in (fast, quality)]
    assert counts == [8, 80]
    assert all(a != b for a, b in combinations(quality.similarities, 2))
