"""Recipes: packaged, from files, changed value by value, and refused in one line."""

from pathlib import Path

import pytest
import yaml

from pellucid.errors import PellucidError
from pellucid.models.recipes import RECIPES
from pellucid.training.recipe import Recipe
from pellucid.training.recipe_files import (
    differences,
    from_values,
    keys,
    override,
    packaged,
    read_recipe,
    recipe_text,
    write_recipe,
)


def test_every_model_has_a_packaged_recipe() -> None:
    assert set(packaged()) == set(RECIPES) - {"tiny"}
    for name in packaged():
        assert read_recipe(name).model == name


def test_a_recipe_survives_its_file(tmp_path: Path) -> None:
    recipe = read_recipe(
        "faster_rcnn",
        [
            "optimiser.learning_rate=2e-4",
            "optimiser.multipliers.body.*=0.1",
            "augmentation.transforms=[{Colour: {hue: 0.1}}]",
        ],
    )
    assert recipe.optimiser.learning_rate == 2e-4  # which YAML alone reads as a text
    assert recipe.optimiser.multipliers == {"body.*": 0.1}
    write_recipe(recipe, tmp_path / "a.yaml")
    assert read_recipe(tmp_path / "a.yaml") == recipe
    assert yaml.safe_load(recipe_text(recipe))["epochs"] == recipe.epochs


def test_keys_are_those_of_all_groups() -> None:
    assert {"model", "data.train", "optimiser.clip", "state.seconds"} <= set(keys())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate=1", "did you mean 'optimiser.learning_rate'"),
        ("optimiser.learning_rat=1", "did you mean 'optimiser.learning_rate'"),
        ("epochs", "give key=value"),
        ("epochs=many", "epochs: 'many' is not a whole number"),
        ("epochs=2.5", "epochs: '2.5' is not a whole number"),
        ("epochs=0", "epochs: 0 is out of range"),
        ("optimiser.name=adam", "unknown 'adam'; did you mean 'adamw'?"),
        ("optimiser.nesterov=1", "'1' is not true or false"),
        ("schedule.milestones=[1, x]", "schedule.milestones[1]: 'x' is not a number"),
        ("optimiser=3", "there is no such key"),
        ("data.train=[1", "is not YAML"),
        ("optimiser.learning_rate=.nan", "is not a number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(PellucidError) as caught:
        read_recipe("faster_rcnn", [text])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for content, said in (
        ("- 1", "holds no recipe"),
        ("model: [", "not YAML"),
        ("epochs: 3", "names no model"),
        ("model: x\nopochs: 3", "no key 'opochs'; did you mean 'epochs'?"),
        ("model: x\noptimiser: fast", "optimiser: is a group of keys"),
    ):
        path.write_text(content)
        with pytest.raises(PellucidError) as caught:
            read_recipe(path)
        assert said in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(PellucidError, match="no such file"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(PellucidError, match="did you mean 'faster_rcnn'"):
        read_recipe("fasterrcnn")


def test_differences_name_their_keys() -> None:
    a, b = from_values({"model": "x"}), from_values({"model": "x", "epochs": 3, "settings": {"k": 1}})
    assert differences(a, b) == {"epochs": (Recipe("x").epochs, 3), "settings": ({}, None), "settings.k": (None, 1)}


def test_settings_are_free_and_keep_their_kinds() -> None:
    values: dict[str, object] = {"model": "x"}
    for text in ("settings.a=3", "settings.b=1e-3", "settings.c=[1, 2]", "settings.d=yes"):
        override(values, text)
    assert from_values(values).settings == {"a": 3, "b": 1e-3, "c": [1, 2], "d": True}
