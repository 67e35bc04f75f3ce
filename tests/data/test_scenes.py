"""Generated scenes: the same everywhere, true to the pixel, and what the knobs promise."""

import hashlib
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.data.scenes import PRESETS, SPLITS, Scenes, SceneSettings, open_scenes
from pellucid.data.scenes.draws import Draws
from pellucid.data.scenes.ground import STUFF
from pellucid.data.scenes.shapes import SHAPES
from pellucid.errors import PellucidError
from pellucid.structures import Sample


def digest(sample: Sample) -> str:
    """Of the image's bytes and of everything in its annotations."""
    said = sample.annotations
    assert said.instances is not None
    assert said.instances.masks is not None
    assert said.panoptic is not None
    parts = [sample.image, said.semantic, said.panoptic.ids, said.instances.masks.to_bool()]
    parts += [value for _, value in said.instances._columns() if isinstance(value, torch.Tensor)]
    made = hashlib.sha256(repr((said.panoptic.segments, said.present)).encode())
    for part in parts:
        assert part is not None
        made.update(part.numpy().tobytes())
    return made.hexdigest()


def both(low: float, high: float, whole: bool = False) -> st.SearchStrategy[Any]:
    """A range between two bounds."""
    one = st.integers(int(low), int(high)) if whole else st.floats(low, high)
    return st.tuples(one, one).map(lambda pair: tuple(sorted(pair)))


knobs = st.builds(
    SceneSettings,
    seed=st.integers(0, 2**63 - 1),
    size=st.tuples(st.integers(16, 100), st.integers(16, 100)),
    things=both(0, 12, whole=True),
    classes=st.lists(st.sampled_from(list(SHAPES)), min_size=1).map(tuple),
    stuff=st.lists(st.sampled_from(list(STUFF)), min_size=1).map(tuple),
    regions=both(1, 4, whole=True),
    scale=both(0.02, 1),
    overlap=st.floats(0, 1),
    cut=st.floats(0, 1),
    min_visible=st.integers(1, 60),
    crowded=st.sampled_from((0.0, 0.5, 1.0)),
    empty=st.sampled_from((0.0, 0.2)),
    rotation=st.floats(0, 180),
    contrast=st.floats(0, 1),
    textured=st.floats(0, 1),
    clutter=st.floats(0, 1),
    blur=st.sampled_from((0.0, 0.7)),
    noise=st.sampled_from((0.0, 20.0)),
)


class TestSame:
    """The same sample, whatever was asked for before, and wherever."""

    def test_whatever_the_number_of_images(self) -> None:
        assert digest(open_scenes("n=10")[3]) == digest(open_scenes("n=500")[3])

    def test_in_any_order(self) -> None:
        text = "hard,n=6,size=64"
        forward = [digest(sample) for sample in open_scenes(text)]
        again = open_scenes(text)
        assert [digest(again[i]) for i in (5, 0, 3)] == [forward[i] for i in (5, 0, 3)]
        assert len(set(forward)) == 6

    def test_image_and_annotations_in_either_order(self) -> None:
        one, other = open_scenes("n=1")[0], open_scenes("n=1")[0]
        first = one.image
        assert digest(other) == digest(one)
        assert one.image is first

    def test_in_another_process(self) -> None:
        script = (
            "import hashlib; from pellucid.data.scenes import open_scenes\n"
            "sample = open_scenes('hard,n=9,size=48', 'val')[7]\n"
            "said = sample.annotations\n"
            "print(hashlib.sha256(sample.image.numpy().tobytes() + said.panoptic.ids.numpy().tobytes()).hexdigest())"
        )
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        sample = open_scenes("hard,n=9,size=48", "val")[7]
        panoptic = sample.annotations.panoptic
        assert panoptic is not None
        here = hashlib.sha256(sample.image.numpy().tobytes() + panoptic.ids.numpy().tobytes()).hexdigest()
        assert run.stdout.strip() == here

    def test_through_pickle(self) -> None:
        data = open_scenes("n=4,size=32")
        copied = pickle.loads(pickle.dumps((data, data[2])))
        assert digest(copied[0][2]) == digest(copied[1]) == digest(data[2])

    def test_splits_and_seeds_share_no_image(self) -> None:
        sets = [open_scenes("n=8,size=32", split) for split in (None, *SPLITS)] + [open_scenes("n=8,size=32,seed=1")]
        images = [sample.image.numpy().tobytes() for data in sets for sample in data]
        assert len(set(images)) == len(images) == 40

    def test_noise_and_blur_change_pixels_alone(self) -> None:
        plain, noisy = (open_scenes(f"n=1,noise={noise},blur={blur}")[0] for noise, blur in ((0, 0), (30, 1)))
        assert not torch.equal(plain.image, noisy.image)
        assert torch.equal(plain.annotations.semantic, noisy.annotations.semantic)

    def test_draws_are_uniform(self) -> None:
        draws = Draws("a", 1)
        numbers = np.array([draws.number() for _ in range(4000)])
        assert 0 <= numbers.min() < 0.01 < 0.99 < numbers.max() < 1
        assert abs(numbers.mean() - 0.5) < 0.02
        assert {draws.whole(2, 4) for _ in range(200)} == {2, 3, 4}
        assert sorted(draws.some_of("abcd", 9)) == list("abcd")


class TestTruth:
    """Image, instances, semantic and panoptic map say the same."""

    @given(knobs)
    @settings(deadline=None, max_examples=200)
    def test_agrees_with_itself(self, wanted: SceneSettings) -> None:
        sample = Scenes(wanted)[0]
        said, things = sample.annotations, sample.annotations.instances
        classes = said.classes
        assert sample.image.shape == (3, *wanted.size)
        assert sample.image.dtype == torch.uint8
        assert said.size == wanted.size
        assert things is not None
        assert things.masks is not None
        assert things.areas is not None
        assert said.panoptic is not None
        assert said.semantic is not None
        masks = things.masks.to_bool()

        assert masks.sum(0).max() <= 1 if len(things) else masks.shape == (0, *wanted.size)
        assert torch.equal(things.boxes, things.masks.boxes())
        assert torch.equal(things.areas, masks.sum((1, 2)).float())
        assert (things.areas >= wanted.min_visible).all()
        assert all(classes.is_thing(label) for label in things.labels.tolist())
        assert said.present == tuple(sorted(set(things.labels.tolist())))
        assert [classes[i] for i in said.present] == [
            name for name in wanted.classes if name in map(classes.__getitem__, things.labels.tolist())
        ]

        ids, segments = said.panoptic.ids, said.panoptic.segments
        assert [s.id for s in segments] == list(range(1, len(segments) + 1)) == ids.unique().tolist()
        assert torch.equal(said.semantic, said.panoptic.semantic())
        assert said.semantic.dtype == ids.dtype == torch.int64
        counted = said.panoptic.things(classes)
        assert torch.equal(counted.labels, things.labels)
        assert torch.equal(counted.crowd, things.crowd)
        assert counted.masks is not None
        assert torch.equal(counted.masks.to_bool(), masks)
        assert things.ids is not None
        assert things.ids.tolist() == [s.id for s in segments[: len(things)]]
        stuff = [s.label for s in segments[len(things) :]]
        assert not any(classes.is_thing(label) for label in stuff)
        assert len(set(stuff)) == len(stuff) <= wanted.regions[1]

    @given(knobs)
    @settings(deadline=None, max_examples=60)
    def test_keypoints_lie_where_they_are_said_to(self, wanted: SceneSettings) -> None:
        said = Scenes(wanted)[0].annotations
        things, classes, (H, W) = said.instances, said.classes, said.size
        assert things is not None
        assert things.keypoints is not None
        assert things.masks is not None
        masks = things.masks.to_bool()
        most = max(len(SHAPES[name].keypoints) for name in wanted.classes)
        assert things.keypoints.shape == (len(things), most, 3)
        for i, label in enumerate(things.labels.tolist()):
            names = classes.keypoints[label]
            assert names is not None
            points = things.keypoints[i]
            x1, y1, x2, y2 = things.boxes[i].tolist()
            assert (points[len(names) :] == 0).all()
            for x, y, visibility in points.tolist():
                if visibility == 0:
                    assert x == y == 0
                    continue
                assert 0 <= x < W
                assert 0 <= y < H
                row, column = int(y), int(x)
                near = masks[i, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
                assert near.any() or visibility == 1
                assert not masks[i, row, column] or visibility == 2
            if things.crowd[i]:
                assert (points == 0).all()
            elif not things.occluded[i] and x1 > 0 and y1 > 0 and x2 < W and y2 < H:
                assert (points[: len(names), 2] > 0).all()
                assert (points[: len(names), 2] == 2).float().mean() > 0.5  # a tiny tip may fall between pixels

    @given(knobs)
    @settings(deadline=None, max_examples=30)
    def test_the_one_in_front_is_whole(self, wanted: SceneSettings) -> None:
        things = Scenes(wanted)[0].annotations.instances
        assert things is not None
        assert not things.occluded[:1].any()

    def test_truncated_things_touch_the_border(self) -> None:
        cut = 0
        for sample in open_scenes("n=40,size=64,cut=0.6,things=3-6,noise=0"):
            things = sample.annotations.instances
            assert things is not None
            x1, y1, x2, y2 = things.boxes.unbind(1)
            touches = (x1 == 0) | (y1 == 0) | (x2 == 64) | (y2 == 64)
            whole = ~things.occluded
            assert (touches | ~things.truncated)[whole].all()
            cut += int(things.truncated.sum())
        assert cut > 20

    def test_the_picture_shows_the_mask(self) -> None:
        """Ground and things are drawn from streams of their own, so that the ground alone is there to compare with."""
        text = "n=12,things=1,textured=0,noise=0,clutter=0.3"
        for bare, shown in zip(open_scenes(text + ",empty=1"), open_scenes(text), strict=True):
            assert shown.annotations.instances is not None
            assert shown.annotations.instances.masks is not None
            mask = shown.annotations.instances.masks.to_bool()[0]
            change = (shown.image.float() - bare.image.float()).abs().amax(0)
            assert (change[mask] > 15).float().mean() > 0.98
            x1, y1, x2, y2 = (int(v) for v in shown.annotations.instances.boxes[0].tolist())
            reach = 3 + int(0.25 * max(x2 - x1, y2 - y1))  # of its shadow
            outside = torch.ones_like(mask)
            outside[max(0, y1 - reach) : y2 + reach, max(0, x1 - reach) : x2 + reach] = False
            assert (change[outside] == 0).all()
            # The shadow is dark but never as strong as the object: right outside the mask there is still the ground.
            assert change[~mask & ~outside].mean() < change[mask].mean()

    def test_difficult_things(self) -> None:
        clear, faint = (open_scenes(f"n=20,size=64,overlap=0,cut=0,contrast={c}") for c in (1, 0.1))
        flags = [torch.cat([s.annotations.instances.difficult for s in data]) for data in (clear, faint)]  # type: ignore[union-attr]
        assert not flags[0].any()
        assert flags[1].float().mean() > 0.9

    def test_crowds(self) -> None:
        for text in ("size=128", "size=16", "size=24x200", "classes=figure,size=40"):
            for sample in open_scenes(f"n=12,crowded=1,things=0-3,{text}"):
                things = sample.annotations.instances
                assert things is not None
                assert things.crowd.sum() == 1
                assert things.crowd[0]
        plain = open_scenes("n=20,size=48")
        assert not any(s.annotations.instances.crowd.any() for s in plain)  # type: ignore[union-attr]

    def test_an_open_ring_around_things(self) -> None:
        full, ringed = (open_scenes(f"n=4,size=64,ignore={ignore}") for ignore in (0, 2))
        for one, other in zip(full, ringed, strict=True):
            before, after = one.annotations.semantic, other.annotations.semantic
            assert before is not None
            assert after is not None
            open_ = after == 255
            assert open_.any()
            assert torch.equal(before[~open_], after[~open_])
            assert other.annotations.panoptic is not None
            assert torch.equal(other.annotations.panoptic.semantic(), before)
            assert one.annotations.instances is not None
            outside = torch.ones_like(open_)
            for x1, y1, x2, y2 in one.annotations.instances.boxes.int().tolist():
                outside[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = False
            assert not (open_ & outside).any()


class TestShapes:
    @pytest.mark.parametrize(
        ("name", "area"),
        [
            ("circle", np.pi),
            ("square", 1.64**2),
            ("triangle", 3 * np.sqrt(3) / 4),
            ("ring", np.pi * (1 - 0.44**2)),
            ("cross", 4 * 0.68 - 0.68**2),
            ("star", 5 * 0.47 * np.sin(np.pi / 5)),
            ("arrow", 0.78 * 0.95 + 0.54 * 1.05),
        ],
    )
    def test_areas(self, name: str, area: float) -> None:
        side = (np.arange(800) + 0.5) / 800 * 2.6 - 1.3
        x, y = np.meshgrid(side, side)
        form = SHAPES[name].form(Draws(name), 0.01)
        assert np.mean(form.distance(x, y) <= 0) * 2.6**2 == pytest.approx(area, rel=0.005)

    @pytest.mark.parametrize("name", SHAPES)
    def test_keypoints_are_on_the_shape(self, name: str) -> None:
        shape = SHAPES[name]
        form = shape.form(Draws(name), 0.01)
        x, y = np.array(form.points).T
        assert len(form.points) == len(shape.keypoints)
        found = form.distance(x, y)
        assert np.abs(found).max() < 1e-6 if shape.outline else found.max() < 0

    @pytest.mark.parametrize("name", [name for name in SHAPES if name != "figure"])
    def test_a_mirror_exchanges_left_and_right(self, name: str) -> None:
        shape = SHAPES[name]
        points = np.array(shape.form(Draws(name), 0.01).points)
        mirrored = points * (-1, 1)
        assert np.allclose(mirrored[list(shape.keypoints.flip)], points)
        assert any(a != b for a, b in enumerate(shape.keypoints.flip)) or "left" not in str(shape.keypoints.names)

    @pytest.mark.parametrize("name", SHAPES)
    def test_nothing_reaches_out_of_its_window(self, name: str) -> None:
        shape = SHAPES[name]
        angle = np.linspace(0, 2 * np.pi, 720)
        out = shape.reach + 1e-6
        for seed in range(30):
            form = shape.form(Draws(seed), 0.02)
            assert (form.distance(out * np.cos(angle), out * np.sin(angle)) > 0).all()

    def test_a_figures_left_hand_is_on_its_left(self) -> None:
        names = SHAPES["figure"].keypoints.names
        form = SHAPES["figure"].form(Draws("pose"), 0.01)
        at = dict(zip(names, form.points, strict=True))
        assert at["left_elbow"][0] > at["neck"][0] > at["right_elbow"][0]
        assert at["head"][1] < at["neck"][1] < at["hips"][1] < at["left_foot"][1]


class TestKnobs:
    def test_how_many_things(self) -> None:
        counts = [
            len(s.annotations.instances)  # type: ignore[arg-type]
            for s in open_scenes("n=60,things=2-4,size=96,scale=0.1-0.2")
        ]
        assert set(counts) == {2, 3, 4}

    def test_empty(self) -> None:
        for sample in open_scenes("n=5,empty=1,crowded=1,size=32"):
            assert len(sample.annotations.instances) == 0  # type: ignore[arg-type]
            assert sample.annotations.present == ()

    def test_classes_and_stuff(self) -> None:
        data = open_scenes("n=20,classes=star+circle,stuff=wood+sky,size=48")
        assert data.classes.names == ("circle", "star", "sky", "wood")
        assert data.classes.things == (True, True, False, False)
        assert {label for s in data for label in s.annotations.present} == {0, 1}
        seen = torch.cat([s.annotations.semantic.flatten() for s in data])  # type: ignore[union-attr]
        assert seen.unique().tolist() == [0, 1, 2, 3]
        assert open_scenes("classes=3,stuff=1").classes.names == (*list(SHAPES)[:3], "sky")

    def test_scale(self) -> None:
        for sample in open_scenes("n=30,scale=0.3-0.4,cut=0,overlap=0,classes=circle,size=80x120"):
            boxes = sample.annotations.instances.boxes  # type: ignore[union-attr]
            sides = boxes[:, 2:] - boxes[:, :2]
            assert ((sides >= 0.3 * 80 - 1.5) & (sides <= 0.4 * 80 + 1.5)).all()

    def test_overlap(self) -> None:
        flags = [
            torch.cat([s.annotations.instances.occluded for s in open_scenes(f"n=15,size=64,things=6,overlap={o}")])  # type: ignore[union-attr]
            for o in (0, 0.9)
        ]
        assert not flags[0].any()
        assert flags[1].float().mean() > 0.2

    def test_regions(self) -> None:
        for sample in open_scenes("n=10,regions=1,things=0,size=32"):
            assert len(sample.annotations.panoptic.segments) == 1  # type: ignore[union-attr]
        most = [len(s.annotations.panoptic.segments) for s in open_scenes("n=20,regions=4,things=0,size=64")]  # type: ignore[union-attr]
        assert max(most) == 4
        assert sum(most) > 60

    def test_clutter_noise_and_blur(self) -> None:
        def roughness(text: str) -> float:
            images = [s.image.float() for s in open_scenes(f"n=6,things=0,regions=1,stuff=gravel,size=64,{text}")]
            return float(torch.stack(images).diff(dim=-1).abs().mean())

        assert roughness("clutter=0,noise=0") < 1 < roughness("clutter=0.3,noise=0") < roughness("clutter=1,noise=0")
        assert roughness("clutter=0,noise=10") > 8
        assert roughness("clutter=1,noise=0,blur=2") < 0.4 * roughness("clutter=1,noise=0")

    @pytest.mark.parametrize("text", ["size=16", "size=16,hard", "n=1,size=512", "size=16x90", "hard,size=300x70"])
    def test_sizes(self, text: str) -> None:
        data = open_scenes("n=1," + text.replace("n=1,", ""))
        H, W = data.size(0)
        assert data[0].image.shape == (3, H, W)
        assert len(data) == 1
        assert data[0].annotations.instances is not None
        assert len(data[0].annotations.instances) >= 1

    def test_as_a_data_set(self) -> None:
        data = open_scenes("n=12,size=160x120,seed=5", "val")
        assert data.title == "scenes:n=12,seed=5,size=160x120"
        assert (data.format, data.split) == ("scenes", "val")
        assert data.holds == {"boxes", "masks", "keypoints", "semantic", "panoptic", "labels"}
        assert data.size(3) == (120, 160)
        assert data["scene_00003.png"].id == 3
        assert list(data.names) == [s.name for s in data]
        assert data[-1].name == "scene_00011.png"
        assert len(data.classes.colours) == len(set(data.classes.colours)) == len(data.classes)


class TestText:
    @given(knobs)
    @settings(deadline=None, max_examples=60)
    def test_round_trip(self, wanted: SceneSettings) -> None:
        assert SceneSettings.read(str(wanted)) == wanted

    def test_presets(self) -> None:
        for name, text in PRESETS.items():
            assert SceneSettings.read(name) == SceneSettings.read(text)
        changed = SceneSettings.read("n=7,hard,things=2")
        assert (changed.n, changed.things, changed.clutter) == (7, (2, 2), 1.0)

    def test_plain_numbers_for_ranges(self) -> None:
        assert SceneSettings(size=64, things=3) == SceneSettings.read("size=64,things=3")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("crowdd=1", "unknown key 'crowdd'; did you mean 'crowded'"),
            ("crowded=2", "crowded=2: crowded is a number from 0 to 1"),
            ("n=0", "n=0: n is a whole number from 1 to 1,000,000"),
            ("n=1.5", "n=1.5: n is a whole number"),
            ("n=" + "9" * 5000, "n is a whole number"),
            ("seed=-1", "seed is a whole number from 0 to 2⁶³ − 1"),
            ("size=8", "size=8: size is one side, or width x height such as 160x120, from 16 to 2,048 pixels"),
            ("size=64x4000", "size=64x4000: size is"),
            ("size=64-80", "size=64-80: size is"),
            ("things=5-2", "things=5-2 runs backwards"),
            ("things=many", "things=many: things is a whole number, or a range such as 1-6, from 0 to 100"),
            ("scale=0.1-", "scale=0.1-: scale is a number, or a range such as 0.1-0.5, from 0.02 to 1"),
            ("blur=nan", "blur is a number from 0 to 10"),
            ("classes=circl+star", "unknown class 'circl'; did you mean 'circle'"),
            ("classes=99", "classes=99: give names joined by +, or a number from 1 to 8"),
            ("stuff=gras", "unknown stuff 'gras'; did you mean 'grass'"),
            ("esy", "'esy' is neither key=value nor a preset (easy, hard); did you mean 'easy'"),
            ("easy,hard", "'hard' is a second preset"),
            ("n=1,n=2", "'n' stands twice"),
        ],
    )
    def test_bad_text(self, text: str, message: str) -> None:
        with pytest.raises(PellucidError) as raised:
            open_scenes(text)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("wrong", [{"n": True}, {"classes": "star"}, {"classes": ()}, {"things": (1, 2, 3)}])
    def test_bad_values(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(PellucidError, match=next(iter(wrong))):
            SceneSettings(**wrong)

    @given(st.text(max_size=30))
    @settings(deadline=None, max_examples=150)
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            SceneSettings.read(text)
        except PellucidError:
            return

    def test_bad_split(self) -> None:
        with pytest.raises(PellucidError, match="unknown split 'trian'; did you mean 'train'"):
            open_scenes("", "trian")
