"""The real detectors through the trainer: in stages, resumed, with proposals from elsewhere, from other weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

import pellucid
from pellucid.models import Detector
from pellucid.training.run_folder import RunFolder
from pellucid.training.state import read_state
from pellucid.training.training import train

from .conftest import SCENES, Made, lines_of
from .test_training import _equal, _Stop

SMALL: dict[str, Any] = {"min_side": 64, "max_side": 96, "channels": 8, "box_features": 16, "region_samples": 16}


@pytest.mark.parametrize("kill", [4, 6])
def test_alternating_training_resumes_in_its_later_stages(recipe: Made, tmp_path: Path, kill: int) -> None:
    made = recipe(
        model="faster_rcnn", pretrained=False, epochs=4, batch_size=5, data__val=None, data__val_share=0,
        state__steps=1, settings={**SMALL, "alternating": True}, average__decay=0.9, data__train=SCENES,
    )  # fmt: skip
    whole = train(made, out=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        train(made, out=tmp_path / "broken", watcher=_Stop(kill))
    folder = RunFolder(tmp_path / "broken")
    assert read_state(folder.state)[0].stage == (kill - 1) // 2
    again = train(made, resume=folder)
    (place, held), (same, kept) = read_state(whole.folder.state), read_state(again.folder.state)
    assert place.stage == same.stage == 3
    assert _equal(held["model"], kept["model"])
    assert _equal(held["average"], kept["average"])
    assert lines_of(whole.folder.log) == lines_of(again.folder.log)
    model = pellucid.load(again.folder.last)
    assert isinstance(model, Detector)
    assert not any(key.startswith(("teacher", "initial")) for key in model.network.state_dict())


def test_external_proposals_are_found_and_learned_from(recipe: Made, tmp_path: Path) -> None:
    settings = {key: value for key, value in SMALL.items() if key != "channels"} | {"external_limit": 30}
    made = recipe(model="fast_rcnn", pretrained=False, epochs=1, settings=settings)
    result = train(made, out=tmp_path / "run")
    assert (result.folder.path / "proposals_train.npz").is_file()
    assert {"class", "box"} <= set(result.history[0])


def test_a_training_that_begins_with_other_weights(recipe: Made, tmp_path: Path) -> None:
    first = train(recipe(model="faster_rcnn", pretrained=False, epochs=1, settings=SMALL), out=tmp_path / "first")
    begun = recipe(
        model="faster_rcnn", epochs=1, weights=str(first.folder.last), optimiser__learning_rate=1e-9,
        settings={"min_side": 48, "max_side": 64, "channels": 32},
    )  # fmt: skip
    second = train(begun, out=tmp_path / "second")
    one, two = (pellucid.load(result.folder.last) for result in (first, second))
    assert isinstance(two, Detector)
    assert (two.settings["min_side"], two.settings["channels"]) == (48, 8)
    states = one.network.state_dict(), two.network.state_dict()
    assert all(torch.allclose(states[0][key], states[1][key], atol=1e-5) for key in states[0])
    first.folder.last.unlink()  # what was begun with is not needed any more
    more = train(recipe(**{**_flat(begun), "epochs": 2}), resume=second.folder)
    assert len(more.history) == 2


def _flat(made: Any) -> dict[str, Any]:
    return {"model": made.model, "weights": made.weights, "optimiser__learning_rate": 1e-9,
            "settings": {**SMALL, "min_side": 48, "max_side": 64, "region_samples": 16}}  # fmt: skip
