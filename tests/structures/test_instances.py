"""Instances, keypoints, panoptic maps, samples and classes: how they are chosen from, joined and refused."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pellucid import PellucidError
from pellucid.structures import (
    FLAGS,
    PERSON,
    Annotations,
    Classes,
    Instances,
    KeypointNames,
    Masks,
    Panoptic,
    Sample,
    Segment,
)
from pellucid.structures.panoptic import ids_to_rgb


def three() -> Instances:
    masks = torch.zeros(3, 5, 6, dtype=torch.bool)
    masks[0, :2], masks[1, 2:, :3], masks[2, 4, 5] = True, True, True
    return Instances(
        boxes=torch.arange(12.0).reshape(3, 4),
        labels=torch.tensor([2, 0, 1]),
        scores=torch.tensor([0.9, 0.5, 0.1]),
        masks=Masks.from_bool(masks),
        keypoints=torch.ones(3, 2, 3),
        ids=torch.tensor([7, 8, 9]),
        crowd=torch.tensor([False, True, False]),
    )


@pytest.mark.parametrize("index", [[2, 0], torch.tensor([2, 0]), torch.tensor([True, False, True]), slice(0, 2), 1, -1])
def test_every_column_is_chosen_together(index):
    all_ = three()
    some = all_[index]
    for column in ("boxes", "labels", "scores", "keypoints", "ids", "crowd", "difficult"):
        whole = getattr(all_, column)
        wanted = whole[index] if not isinstance(index, int) else whole[[index]]
        assert torch.equal(getattr(some, column), wanted)
    assert torch.equal(some.masks.to_bool(), all_.masks.to_bool()[index if not isinstance(index, int) else [index]])


def test_joining_and_emptiness():
    joined = Instances.joined([three(), three()[[0]]])
    assert joined.ids.tolist() == [7, 8, 9, 7]
    assert len(joined.masks) == 4
    assert Instances.joined([three(), Instances.empty()]).scores is None
    assert len(Instances.empty()) == 0
    assert all(getattr(Instances.empty(), name).shape == (0,) for name in FLAGS)


def test_lengths_that_disagree_are_refused():
    with pytest.raises(PellucidError, match=r"boxes of shape \(2, 4\) for 3 labels"):
        Instances(torch.zeros(2, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(PellucidError, match="1 scores for 2 boxes"):
        Instances(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), scores=torch.zeros(1))
    with pytest.raises(PellucidError, match="keypoints of shape"):
        Instances(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), keypoints=torch.zeros(2, 5, 2))


def test_scores_keep_their_graph():
    scores = torch.tensor([0.1, 0.2], requires_grad=True)
    Instances(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), scores=scores)[[1]].scores.sum().backward()
    assert scores.grad.tolist() == [0, 1]


def test_keypoint_names_find_their_mirror_images():
    assert [PERSON.names[i] for i in PERSON.flip[:3]] == ["nose", "right_eye", "left_eye"]
    assert all(PERSON.flip[PERSON.flip[i]] == i for i in range(17))
    assert KeypointNames(("left", "nose", "left_ear", "right")).flip == (3, 1, 2, 0)
    assert KeypointNames(("left", "left", "right")).flip == (0, 1, 2)
    with pytest.raises(PellucidError, match="index 3 stands in the skeleton"):
        KeypointNames(("a", "b"), skeleton=((0, 3),))
    with pytest.raises(PellucidError, match="every keypoint exactly once"):
        KeypointNames(("a", "b"), flip=(0, 0))


@given(hnp.arrays(np.int64, (4, 5), elements=st.integers(0, 2**24 - 1)))
def test_panoptic_ids_there_and_back(ids):
    assert np.array_equal(ids_to_rgb(ids).astype(np.int64) @ [1, 256, 65536], ids)


def test_panoptic_maps():
    classes = Classes(("cat", "grass"), things=(True, False))
    ids = torch.tensor([[0, 5, 5], [9, 9, 70]])
    said = Panoptic(ids, (Segment(9, 1), Segment(5, 0, crowd=True), Segment(70, 0)))
    assert said.semantic().tolist() == [[255, 0, 0], [1, 1, 0]]
    assert said.areas().tolist() == [2, 2, 1]
    things = said.things(classes)
    assert things.boxes.tolist() == [[1, 0, 3, 1], [2, 1, 3, 2]]
    assert things.crowd.tolist() == [True, False]
    assert said.segment(9).label == 1
    with pytest.raises(PellucidError, match="no segment has the id 4"):
        said.segment(4)
    with pytest.raises(PellucidError, match="an id of its own"):
        Panoptic(ids, (Segment(5, 0), Segment(5, 1)))
    assert Panoptic(ids, ()).semantic().unique().tolist() == [255]
    assert len(Panoptic(ids, ()).things(classes)) == 0


def test_samples_read_when_asked():
    asked = []

    def image():
        asked.append("image")
        return torch.zeros(3, 2, 4, dtype=torch.uint8)

    classes = Classes(("a",))
    sample = Sample("x.png", image, lambda: Annotations((2, 4), classes))
    assert asked == []
    assert sample.image is sample.image
    assert asked == ["image"]
    assert sample.annotations.size == (2, 4)
    assert Sample("y", np.zeros((3, 5, 3), dtype=np.uint8), sample.annotations).image.shape == (3, 3, 5)
    assert pickle.loads(pickle.dumps(Sample("z", "no/such.jpg", sample.annotations))).name == "z"
    with pytest.raises(PellucidError, match="no such file"):
        _ = Sample("z", "no/such.jpg", sample.annotations).image


def test_classes_know_their_ancestors():
    classes = Classes(("dog", "cat", "pet", "animal"), parents=((2,), (2, 3), (3,), ()))
    assert classes.ancestors(0) == (2, 3)
    assert set(classes.ancestors(1)) == {2, 3}
    assert len(Classes(("a", "b"), parents=((1,), (0,))).ancestors(0)) <= 2  # a circle ends
    with pytest.raises(PellucidError, match="2 names but 1 things"):
        Classes(("a", "b"), things=(True,))
    assert Classes(("a",)).is_thing(0)
    assert Classes(("a", "b"), source_ids=("n1", "n2")).source_id(1) == "n2"
