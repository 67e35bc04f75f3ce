"""``pellucid predict``: what a model finds in photos, in words, in files and in pictures."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from pellucid.cli.common import check_folder, complain, load_any, paused, print_json, progress_bar
from pellucid.cli.photos import scored
from pellucid.cli.sources import Images, Item, find_images, picture_name
from pellucid.data import Dataset
from pellucid.data.coco.writing import segmentation
from pellucid.data.dataset import Samples
from pellucid.data.predicted import (
    HOLDS_ALL,
    check_format,
    write_class_table,
    write_image_list,
    write_predictions,
)
from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.models import Detector, PhotoModel
from pellucid.models.predicting import choosing, predict_each, renamed, united
from pellucid.report.annotated import draw_annotations
from pellucid.structures import Annotations, Instances, Sample

OUT = Path("predicted")
"""Where files go when none is said but they are asked for."""

_SURE = 0.5
"""From which score on an object is told and drawn, unless the model itself is choosy."""

_CHOOSY = 0.1
_TOP = {"classification": 5, "localization": 1}
_SMALLEST, _LARGEST = 640, 1280
"""The bounds of a picture's longer side."""


@dataclass
class Request:
    """What to do with every image.

    ``least``: the score from which an object is told and drawn; ``keep``: from which it stands in files, None for all.
    """

    model: PhotoModel
    images: Images
    least: float
    keep: float | None
    top_k: int | None
    draw: bool
    out: Path | None
    batch_size: int


@dataclass
class Found:
    """What came of it, image by image, in order. ``said``: in the model's classes; ``failed``: of how many none."""

    items: list[Item] = field(default_factory=list)
    said: list[Annotations] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0


def run(
    *,
    model: str,
    sources: list[str],
    split: str | None,
    out: Path | None,
    format: str | None,
    draw: bool,
    score_threshold: float | None,
    iou_threshold: float | None,
    top_k: int | None,
    batch_size: int,
    checkpoint: Path | None,
    classes: Path | None,
    device: str,
    json_output: bool,
) -> None:
    """Predicts for every image; one that fails is reported and the others are done. Exits 2 if any failed."""
    if out is None and (draw or format is not None):
        out = OUT
    if out is not None:
        check_folder(out)
    images = find_images(sources, split, out or OUT)
    network = _loaded(model, checkpoint, classes, device)
    network = choosing(network, score_threshold, iou_threshold)
    form = _form(network, format, images) if out is not None else ""
    request = Request(network, images, _least(network, score_threshold), score_threshold, top_k, draw, out, batch_size)
    found = Found()
    lines = not json_output and out is None
    written: list[str] = []
    try:
        predict_images(request, found, print_lines=lines)
    except BaseException as error:
        if not isinstance(error, Exception) and out is not None and found.said:  # Ctrl-C keeps what is finished
            _write(request, found, form)
        raise
    if out is not None and found.said:
        written = _write(request, found, form)
    if json_output:
        print_json({"model": network.name, "task": network.task, "images": found.records, "written": written})
    elif out is not None:
        print("\n".join(_summary(found, request, written)))
    if found.failed:
        total = len(images.items)
        if total > 1 and not json_output:
            print(f"{total - found.failed} of {total} images done, {found.failed} failed", file=sys.stderr)
        raise SystemExit(2)


def predict_images(request: Request, found: Found, *, print_lines: bool) -> None:
    """Fills ``found``, with lines on stdout and pictures on the way."""
    items = request.images.items
    kept: dict[int, Tensor] = {}
    taken: set[str] = set()

    def readers() -> Iterator[Any]:
        for number, item in enumerate(items):

            def read(number: int = number, item: Item = item) -> Tensor:
                photo = item.read()
                if request.draw:
                    kept[number] = photo
                return photo

            yield read

    with progress_bar() as bar:
        task = bar.add_task("predicting", total=len(items))
        for number, said in enumerate(predict_each(request.model, readers(), request.batch_size)):
            item = items[number]
            if isinstance(said, PellucidError):
                found.failed += 1
                found.records.append({"photo": item.shown, "error": str(said)})
                with paused(bar):
                    complain(str(said) if item.shown in str(said) else f"{item.shown}: {said}")
            else:
                shown = _chosen(said, request.least, _count(request))
                record = _record(item, said, shown, request)
                if request.draw and request.out is not None:
                    path = request.out / "pictures" / picture_name(item.name, taken)
                    record["picture"] = str(_drawn(kept.pop(number), shown, path))
                found.items.append(item)
                found.said.append(said)
                found.records.append(record)
                if print_lines:
                    with paused(bar):
                        print("\n".join(_lines(item, said, shown, record, request)), flush=True)
            bar.update(task, completed=number + 1)


def _loaded(name: str, checkpoint: Path | None, classes: Path | None, device: str) -> PhotoModel:
    if Path(name).is_dir():
        inside = sorted(Path(name).glob("*.safetensors"))
        remedy = f"give the checkpoint in it, {inside[0]}" if inside else "give a checkpoint file (.safetensors)"
        raise PellucidError(f"{name}: is a folder; {remedy}")
    return load_any(name, checkpoint, classes, device)


def _form(model: PhotoModel, format: str | None, images: Images) -> str:
    """The form of the files. Raises PellucidError where the model's predictions do not fit it."""
    if model.task == "classification":
        if format not in (None, "csv"):
            raise PellucidError(f"--format {format}: {model.name} is a classifier, whose form is csv; leave it out")
        return "csv"
    made, _ = united(images.classes, model.classes)
    check_format(format or HOLDS_ALL, [item.name for item in images.items], made)
    return format or HOLDS_ALL


def _least(model: PhotoModel, asked: float | None) -> float:
    if asked is not None:
        return asked
    own = float(model.settings.get("score_threshold", 0)) if isinstance(model, Detector) else 0.0
    if model.task == "localization":
        return 0.0
    return own if own >= _CHOOSY else _SURE


def _count(request: Request) -> int | None:
    return request.top_k or _TOP.get(request.model.task)


def _chosen(said: Annotations, least: float, count: int | None) -> Annotations:
    """The objects of at least a score, and of those the best."""
    objects = said.instances
    if objects is None or objects.scores is None:
        return said
    return replace(said, instances=objects[objects.scores >= least][:count])


def _drawn(photo: Tensor, said: Annotations, path: Path) -> Path:
    longest = max(_SMALLEST, min(_LARGEST, max(said.size)))
    picture = draw_annotations(photo, said, size=(longest, longest))
    with written_whole(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", compress_level=4)
    return path


def _record(item: Item, said: Annotations, shown: Annotations, request: Request) -> dict[str, Any]:
    made: dict[str, Any] = {"photo": item.shown, "id": item.id, "size": [said.size[1], said.size[0]]}
    if said.logits is not None and said.instances is None:
        return made | {"predictions": [scored(one) for one in said.top(_count(request) or 5)]}
    objects = shown.instances if shown.instances is not None else Instances.empty()
    return made | {"objects": [_object(objects, row, shown) for row in range(len(objects))]}


def _object(objects: Instances, row: int, said: Annotations) -> dict[str, Any]:
    label = int(objects.labels[row])
    made: dict[str, Any] = {"class": said.classes[label], "index": label}
    if objects.scores is not None:
        made["score"] = float(objects.scores[row])
    made["box"] = [round(v, 3) for v in objects.boxes[row].double().tolist()]
    if objects.masks is not None:
        made["mask"] = segmentation(objects.masks[row], crowd=False, runs=True)
    names = said.classes.keypoints[label] if said.classes.keypoints else None
    if objects.keypoints is not None and (names is not None or not said.classes.keypoints):
        points = objects.keypoints[row].double().tolist()
        sure = objects.keypoint_scores[row].double().tolist() if objects.keypoint_scores is not None else None
        made["keypoints"] = [
            {"name": names.names[k] if names is not None and k < len(names) else str(k)}
            | {"x": round(x, 3), "y": round(y, 3)}
            | ({} if sure is None else {"score": sure[k]})
            for k, (x, y, _) in enumerate(points[: len(names)] if names is not None else points)
        ]
    return made


def _lines(
    item: Item, said: Annotations, shown: Annotations, record: dict[str, Any], request: Request
) -> Iterable[str]:
    if "predictions" in record:
        yield f"{item.shown}: " + ", ".join(f"{p['class']} {p['probability']:.1%}" for p in record["predictions"])
        return
    objects = shown.instances if shown.instances is not None else Instances.empty()
    if not len(objects):
        yield f"{item.shown}: nothing of a score of {request.least:g} or more{_best(said)}"
        return
    yield f"{item.shown}: {len(objects)} object{'s' if len(objects) > 1 else ''}"
    areas = objects.masks.areas().tolist() if objects.masks is not None else None
    wide = max(len(said.classes[int(label)]) for label in objects.labels)
    for row, one in enumerate(record["objects"]):
        x1, y1, x2, y2 = (round(v) for v in one["box"])
        score = f"{one['score']:.2f}" if "score" in one else ""
        more = f", mask of {areas[row]:,.0f} pixels" if areas is not None else ""
        more += f", {len(one['keypoints'])} keypoints" if one.get("keypoints") else ""
        yield f"  {one['class']:<{wide}} {score}  at {x1},{y1}–{x2},{y2}{more}"


def _best(said: Annotations) -> str:
    """Where nothing is told, what there would have been."""
    objects = said.instances
    if objects is None or objects.scores is None or not len(objects):
        return ""
    best = int(objects.scores.argmax())
    name, score = said.classes[int(objects.labels[best])], float(objects.scores[best])
    return f"; the best is {name} {score:.2f}"


def _summary(found: Found, request: Request, written: list[str]) -> Iterable[str]:
    counts = Counter(one["class"] for record in found.records for one in record.get("objects", ()))
    images = f"{len(found.said):,} image{'' if len(found.said) == 1 else 's'}"
    if request.model.task == "classification":
        yield images
    else:
        named = ", ".join(f"{n:,} {name}" for name, n in counts.most_common(8))
        more = f" and {len(counts) - 8} classes more" if len(counts) > 8 else ""
        total = sum(counts.values())
        told = f"{total:,} object{'' if total == 1 else 's'} of a score of {request.least:g} or more"
        yield f"{images}, {told}{': ' + named + more if named else ''}"
        every = sum(len(one.instances) for one in found.said if one.instances is not None)
        if every > total and request.keep is None:
            yield f"in the files all {every:,} that the model keeps; --score-threshold for fewer"
    for path in written:
        yield f"written: {path}"


def _write(request: Request, found: Found, form: str) -> list[str]:
    """The files of all that was finished."""
    out, model, images = request.out, request.model, request.images
    assert out is not None
    pictures = [str(out / "pictures")] if request.draw else []
    if form == "csv":
        names = [item.name for item in found.items]
        count = _count(request) or 5
        return [str(write_class_table(found.said, names, out / "predictions.csv", count)), *pictures]
    classes, places = united(images.classes, model.classes)
    kept = [_chosen(said, request.keep or 0.0, request.top_k) for said in found.said]
    said = [renamed(one, classes, places) for one in kept]
    samples = [
        Sample(item.name, item.read, Annotations(one.size, classes), id=item.id)
        for item, one in zip(found.items, said, strict=True)
    ]
    dataset: Dataset = Samples(samples, classes, ("boxes",), images.stands())
    if images.dataset is not None:
        dataset.split, dataset.inclusive = images.dataset.split, images.dataset.inclusive
    made = [*write_predictions(said, dataset, out, form), write_image_list(dataset, out / "images.json")]
    if form != HOLDS_ALL and model.task in ("instances", "keypoints"):
        what = {"instances": "masks", "keypoints": "keypoints"}[model.task]
        complain(f"--format {form}: has no scored {what}, which are left out; --format {HOLDS_ALL} keeps them")
    if images.dataset is not None and len(classes) > len(images.classes):
        extra = classes.names[len(images.classes) :]
        some = ", ".join(extra[:3]) + (", …" if len(extra) > 3 else "")
        complain(
            f"{images.dataset.title}: does not have {len(extra)} of the model's {len(model.classes)} classes ({some}); "
            f"they are numbered behind its own, see {out / 'images.json'}"
        )
    return [*map(str, made), *pictures]
