"""The classes a network knows, by index and by name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pellucid.errors import PellucidError, nearest
from pellucid.structures.keypoints import KeypointNames


def unique_names(names: Iterable[str], marks: Iterable[object]) -> tuple[str, ...]:
    """The names, each its own: one that stood before gets its mark behind it, in brackets."""
    made: dict[str, None] = {}
    for name, mark in zip(names, marks, strict=True):
        while name in made:
            name += f" ({mark})"
        made[name] = None
    return tuple(made)


def as_tuples(value: Any) -> Any:
    """Lists, and lists in lists, as tuples: what JSON and YAML made lists of."""
    return tuple(map(as_tuples, value)) if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class Classes:
    """Contiguous class indices and their names.

    ``names``: one unique name a class, in index order. ``synonyms``: for each class further names that find it
    (may be empty). Two classes may share a synonym; asking by it is then an error that names both.

    The rest is empty where nothing is known, else one entry a class. ``source_ids``: what the data set calls the class,
    such as COCO's category id or a WordNet id. ``things``: whether it is a thing (counted) or stuff; unknown means
    thing. ``colours``: RGB, 0 to 255. ``keypoints``: their names. ``parents``: the indices of the classes just above.
    ``frequencies``: LVIS' tag of how often it occurs, rare, common or frequent.
    """

    names: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...] = ()
    source_ids: tuple[int | str, ...] = ()
    things: tuple[bool, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    keypoints: tuple[KeypointNames | None, ...] = ()
    parents: tuple[tuple[int, ...], ...] = ()
    frequencies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("source_ids", "things", "colours", "keypoints", "parents", "frequencies"):
            if len(getattr(self, name)) not in (0, len(self.names)):
                raise PellucidError(f"classes: {len(self.names)} names but {len(getattr(self, name))} {name}")
        if len(set(self.names)) != len(self.names):
            twice = next(n for i, n in enumerate(self.names) if n in self.names[:i])
            raise PellucidError(f"classes: the name '{twice}' stands twice; each class needs a name of its own")
        if self.synonyms and len(self.synonyms) != len(self.names):
            raise PellucidError(f"classes: {len(self.names)} names but {len(self.synonyms)} lists of synonyms")

    @classmethod
    def unnamed(cls, count: int) -> "Classes":
        """``count`` classes called 'class 0', 'class 1', …"""
        return cls(tuple(f"class {i}" for i in range(count)))

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values, for JSON; what is not known is left out."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Classes":
        """The inverse of ``to_dict``. Raises PellucidError, KeyError or TypeError for what is none."""
        plain = {key: as_tuples(value) for key, value in values.items() if key != "keypoints"}
        points = values.get("keypoints", ())
        named = tuple(
            None if one is None else KeypointNames(**{k: as_tuples(v) for k, v in one.items()}) for one in points
        )
        return cls(**plain, keypoints=named)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index]

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            for known in (name, *(self.synonyms[index] if self.synonyms else ())):
                indices = found.setdefault(known.lower(), [])
                if index not in indices:
                    indices.append(index)
        return found

    def index(self, name: str | int) -> int:
        """The index of a class given by name, by synonym (case does not matter) or by index.

        Raises PellucidError with the nearest names for an unknown one, with all candidates for an ambiguous one.
        """
        if isinstance(name, int) and not isinstance(name, bool):
            if not 0 <= name < len(self):
                raise PellucidError(f"class {name}: there are {len(self)} classes, 0 to {len(self) - 1}")
            return name
        if not isinstance(name, str):
            raise PellucidError(f"class {name!r}: give a class by its name or its index")
        if name in self.names:
            return self.names.index(name)
        found = self._by_name.get(name.strip().lower(), [])
        if len(found) == 1:
            return found[0]
        if found:
            candidates = ", ".join(f"{i} ({self.names[i]})" for i in found)
            raise PellucidError(f"class '{name}' is ambiguous: {candidates}; give the index")
        if name.strip().isdecimal():
            return self.index(int(name))
        raise PellucidError(f"unknown class '{name}'{nearest(name, self._all_names)}")

    def is_thing(self, index: int) -> bool:
        """Whether a class is of things; where the data set does not say, it is."""
        return self.things[index] if self.things else True

    def source_id(self, index: int) -> int | str:
        """What the data set calls the class; its index where it has no name for it."""
        return self.source_ids[index] if self.source_ids else index

    def ancestors(self, index: int) -> tuple[int, ...]:
        """All classes above one, each once, nearest first."""
        found: dict[int, None] = {}
        level = list(self.parents[index]) if self.parents else []
        while level:
            found |= dict.fromkeys(level)
            level = [p for parent in level for p in self.parents[parent] if p not in found and p != index]
        return tuple(found)

    @cached_property
    def _all_names(self) -> Sequence[str]:
        return [*self.names, *(s for synonyms in self.synonyms for s in synonyms)]
