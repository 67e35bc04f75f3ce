"""Recipes as YAML, packaged or of one's own, and single values changed by ``key.sub=value``; all of it checked."""

import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from pellucid.errors import PellucidError, nearest
from pellucid.files import written_whole
from pellucid.structures.photo import nearest_beside
from pellucid.training.recipe import Recipe

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", list: "a list"}


def packaged() -> list[str]:
    """The names of the recipes that come with the installation."""
    folder = resources.files("pellucid.training") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A packaged recipe by its name, or one of a .yaml file, with ``overrides`` such as 'optimiser.clip=1'.

    Raises PellucidError, in one line, for a name, key or value that is none.
    """
    values = read_values(name)
    for text in overrides:
        override(values, text)
    return from_values(values, str(name))


def read_values(name: str | Path) -> dict[str, Any]:
    """The plain values that a recipe's file gives, not yet checked."""
    text = str(name)
    if not text.endswith((".yaml", ".yml")) and not isinstance(name, Path):
        if text not in packaged():
            known = packaged()
            raise PellucidError(
                f"no recipe is called '{text}'{nearest(text, known)}; there are {', '.join(known)}, "
                "or give a .yaml file"
            )
        content = (resources.files("pellucid.training") / "recipes" / f"{text}.yaml").read_text(encoding="utf-8")
    else:
        try:
            content = Path(name).read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            raise PellucidError(f"{name}: no such file{nearest_beside(Path(name))}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise PellucidError(f"{name}: cannot be read ({reason}); give a recipe as YAML") from error
    try:
        values = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        at = f" (line {where.line + 1})" if where is not None else ""
        raise PellucidError(f"{name}: not YAML{at}; correct it") from error
    if not isinstance(values, dict):
        raise PellucidError(f"{name}: holds no recipe; begin with a line such as 'model: faster_rcnn'")
    return values


def override(values: dict[str, Any], text: str) -> None:
    """Sets one value, by ``key.sub=value``; the value is read as YAML. Raises PellucidError for an unknown key."""
    key, equals, said = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise PellucidError(f"--set {text}: give key=value, such as optimiser.learning_rate=2e-4")
    try:
        value = yaml.safe_load(said)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PellucidError(f"--set {text}: '{said}' is not YAML; put it into quotes") from error
    known = keys()
    path = _path(key, known)
    if path is None:
        raise PellucidError(f"--set {key}: there is no such key{_hint(key, known)}")
    place = values
    for part in path[:-1]:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise PellucidError(f"--set {key}: '{part}' is not a group of keys")
        place = inner
    place[path[-1]] = value


def _path(key: str, known: Iterable[str]) -> list[str] | None:
    if key in known:
        return key.split(".")
    for free in ("settings", "optimiser.multipliers"):
        if key.startswith(free + "."):
            return [*free.split("."), key[len(free) + 1 :]]
    return None


def _hint(key: str, known: Sequence[str]) -> str:
    same = [name for name in known if name.rsplit(".", 1)[-1] == key]
    found = f"; did you mean '{same[0]}'?" if same else nearest(key, known)
    if not found:
        last = nearest(key.rsplit(".", 1)[-1], {name.rsplit(".", 1)[-1]: 0 for name in known})
        found = last or "; a model's own settings are settings.NAME"
    return found


def keys(kind: type = Recipe, prefix: str = "") -> list[str]:
    """All keys of a recipe, with dots."""
    made: list[str] = []
    hints = typing.get_type_hints(kind)
    for one in fields(kind):
        inner = hints[one.name]
        made += keys(inner, f"{prefix}{one.name}.") if is_dataclass(inner) else [prefix + one.name]  # type: ignore[arg-type]
    return made


def from_values(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A recipe from plain values. Raises PellucidError with ``source`` for an unknown key or a wrong value."""
    try:
        made: Recipe = _built(Recipe, values, "")
    except PellucidError as error:
        raise PellucidError(f"{source}: {error}") from error
    return made


def _built(kind: Any, values: Any, prefix: str) -> Any:
    if not isinstance(values, Mapping):
        raise PellucidError(f"{prefix.rstrip('.')}: is a group of keys, not '{values}'")
    hints = typing.get_type_hints(kind)
    given = {}
    for key, value in values.items():
        if key not in hints:
            raise PellucidError(f"there is no key '{prefix}{key}'{_hint(f'{prefix}{key}', keys())}")
        given[key] = _typed(value, hints[key], f"{prefix}{key}")
    if kind is Recipe and "model" not in given:
        raise PellucidError("names no model; add a line such as 'model: faster_rcnn'")
    return kind(**given)


def _typed(value: Any, kind: Any, key: str) -> Any:
    """A value as its type wants it."""
    if is_dataclass(kind):
        return _built(kind, {} if value is None else value, f"{key}.")
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _typed(value, next(one for one in inner if one is not type(None)), key)
    if kind is Any:
        return _plain(value)
    if origin is list:
        items = value if isinstance(value, (list, tuple)) else [value]
        return [_typed(one, inner[0], f"{key}[{number}]") for number, one in enumerate(items)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise PellucidError(f"{key}: is a group of names with values, not '{value}'")
        return {str(name): _typed(one, inner[1], f"{key}.{name}") for name, one in value.items()}
    return _scalar(value, kind, key)


def _scalar(value: Any, kind: type, key: str) -> Any:
    value = _plain(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number and value == value and abs(value) != float("inf"):
        return float(value)
    if kind is int and number and value == value and abs(value) != float("inf") and int(value) == value:
        return int(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise PellucidError(f"{key}: '{value}' is not {_WORDS.get(kind, kind.__name__)}")


def _plain(value: Any) -> Any:
    """YAML 1.1 reads 4e-4 as a text; a recipe means the number."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return value


def recipe_text(recipe: Recipe) -> str:
    """A recipe as YAML, with all its values."""
    text: str = yaml.safe_dump(_yaml_fit(recipe.to_dict()), sort_keys=False, allow_unicode=True, width=100)
    return text


def _yaml_fit(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _yaml_fit(one) for key, one in value.items()}
    return [_yaml_fit(one) for one in value] if isinstance(value, (list, tuple)) else value


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Writes a recipe as YAML."""
    with written_whole(path) as temporary:
        temporary.write_text(recipe_text(recipe), encoding="utf-8")


def differences(a: Recipe, b: Recipe) -> dict[str, tuple[Any, Any]]:
    """Key → the two values, of what is not the same in two recipes."""
    first, second = _flat(a.to_dict()), _flat(b.to_dict())
    return {key: (first.get(key), second.get(key)) for key in first | second if first.get(key) != second.get(key)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, dict) and value
        made |= _flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return made
