"""The file of a search: a .npz of arrays and one JSON record, read without pickle."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.receptive import ReceptiveField
from pellucid.explain.search.found import Found, Geometry
from pellucid.explain.search.ranking import Ranking
from pellucid.files import written_whole

FORMAT = "pellucid search 1"

_RANKING = ("values", "photos", "positions")
_GEOMETRY = ("photo", "frame", "box")


def write(found: Found, path: str | Path) -> Path:
    """Writes a search, finished or not. Raises PellucidError for another suffix and a file that cannot be written.

    Arrays: ``record`` (JSON text), ``layers.0.values`` and so on by the place of a layer in the record, ``classes.…``,
    ``objectives.0.…``, ``geometry.…``, and ``fields.0.0.rows`` by the places of frame size and layer.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise PellucidError(f"{path}: searches are written as .npz; end the name with .npz")
    arrays: dict[str, Tensor] = {f"geometry.{name}": getattr(found.geometry, name) for name in _GEOMETRY}
    for start, ranking in _places(found).items():
        arrays.update({f"{start}.{name}": getattr(ranking, name) for name in _RANKING})
    for i, by_layer in enumerate(found.fields.values()):
        for j, layer in enumerate(found.layers):
            arrays[f"fields.{i}.{j}.rows"] = by_layer[layer].rows
            arrays[f"fields.{i}.{j}.columns"] = by_layer[layer].columns
    record = {
        "format": FORMAT,
        "model": found.model,
        "fingerprint": found.fingerprint,
        "k": found.k,
        "done": found.done,
        "layers": list(found.layers),
        "classes": found.classes is not None,
        "class_names": found.class_names,
        "objectives": list(found.objectives),
        "frames": list(found.fields),
        "skipped": found.skipped,
        "photos": found.photos,
    }
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        numbers: dict[str, Any] = {name: tensor.numpy() for name, tensor in arrays.items()}
        np.savez_compressed(file, record=np.array(json.dumps(record)), **numbers)
    return path


def _places(found: Found) -> dict[str, Ranking]:
    places = {f"layers.{i}": ranking for i, ranking in enumerate(found.layers.values())}
    places |= {f"objectives.{i}": ranking for i, ranking in enumerate(found.objectives.values())}
    return places | ({"classes": found.classes} if found.classes is not None else {})


def read(path: str | Path) -> Found:
    """What ``write`` wrote; raises PellucidError for a missing, damaged or foreign file."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            record = json.loads(str(file["record"]))
            if record["format"] != FORMAT:
                raise ValueError(f"format {record['format']!r}")
            return _checked(_parsed(record, {name: torch.from_numpy(file[name]) for name in file if name != "record"}))
    except FileNotFoundError:
        raise PellucidError(f"{path}: no such file; give a .npz that a search wrote") from None
    except (
        OSError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PellucidError(
            f"{path}: is not a search of Pellucid's, or is damaged ({reason}); search again, to another file"
        ) from error


def _parsed(record: dict[str, Any], arrays: dict[str, Tensor]) -> Found:
    def ranking(start: str) -> Ranking:
        return Ranking(*(arrays[f"{start}.{name}"] for name in _RANKING))

    fields = {
        (int(size[0]), int(size[1])): {
            layer: ReceptiveField(arrays[f"fields.{i}.{j}.rows"], arrays[f"fields.{i}.{j}.columns"])
            for j, layer in enumerate(record["layers"])
        }
        for i, size in enumerate(record["frames"])
    }
    return Found(
        model=record["model"],
        fingerprint=record["fingerprint"],
        k=record["k"],
        photos=record["photos"],
        layers={name: ranking(f"layers.{i}") for i, name in enumerate(record["layers"])},
        classes=ranking("classes") if record["classes"] else None,
        objectives={text: ranking(f"objectives.{i}") for i, text in enumerate(record["objectives"])},
        skipped=record["skipped"],
        class_names=record["class_names"],
        geometry=Geometry(*(arrays[f"geometry.{name}"] for name in _GEOMETRY)),
        fields=fields,
        done=record["done"],
    )


def _checked(found: Found) -> Found:
    """Raises ValueError where the arrays do not fit together."""
    n = len(found.photos)
    for name, width in zip(_GEOMETRY, (2, 2, 4), strict=True):
        if getattr(found.geometry, name).shape != (n, width):
            raise ValueError(f"geometry of {n} photos is missing")
    for start, ranking in _places(found).items():
        rows = len(ranking.values)
        if ranking.values.shape != (rows, found.k) or ranking.positions.shape != (rows, found.k, 2):
            raise ValueError(f"{start} does not rank {found.k} photos")
        if ranking.photos.shape != (rows, found.k) or not ((ranking.photos >= -1) & (ranking.photos < n)).all():
            raise ValueError(f"{start} ranks photos that it does not list")
    return found
