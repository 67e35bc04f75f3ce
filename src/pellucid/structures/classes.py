"""The classes a network knows, by index and by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pellucid.errors import PellucidError, nearest


@dataclass(frozen=True)
class Classes:
    """Contiguous class indices and their names.

    ``names``: one unique name a class, in index order. ``synonyms``: for each class further names that find it
    (may be empty). Two classes may share a synonym; asking by it is then an error that names both.
    """

    names: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            twice = next(n for i, n in enumerate(self.names) if n in self.names[:i])
            raise PellucidError(f"classes: the name '{twice}' stands twice; each class needs a name of its own")
        if self.synonyms and len(self.synonyms) != len(self.names):
            raise PellucidError(f"classes: {len(self.names)} names but {len(self.synonyms)} lists of synonyms")

    @classmethod
    def unnamed(cls, count: int) -> "Classes":
        """``count`` classes called 'class 0', 'class 1', …"""
        return cls(tuple(f"class {i}" for i in range(count)))

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

    @cached_property
    def _all_names(self) -> Sequence[str]:
        return [*self.names, *(s for synonyms in self.synonyms for s in synonyms)]
