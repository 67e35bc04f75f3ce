"""``pellucid explain``: what a network says of photos, and why."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.cli.common import check_folder, complain, load_any, paused, print_json, progress_bar, write_json
from pellucid.cli.explain_targets import Wanted, check_wanted, targets_of
from pellucid.cli.photos import folder_name, photos_to_do
from pellucid.errors import PellucidError
from pellucid.explain import METHODS, Explanation, Faithfulness
from pellucid.explain.attribution import explain_subject, method_named, named_layer
from pellucid.explain.attribution.explanation import plain_name
from pellucid.explain.faithfulness import check_subject
from pellucid.explain.rectifiers import UndefinedMethodError
from pellucid.explain.regions import box_region
from pellucid.explain.subject import Subject
from pellucid.models import Classifier, PhotoModel
from pellucid.report.check import check_lines, check_table
from pellucid.report.panel import draw_panel
from pellucid.structures import read_photo

DEFAULT_METHODS = ("grad_cam", "smooth_grad", "integrated_gradients", "occlusion")
OBJECT_METHODS = ("grad_cam", "odam", "saliency")
"""The methods for detectors, whose passes take longer."""
_SHARES = ("noise", "keep", "fill", "baseline", "smooth")
"""The settings that are shares or pixel values; the others are whole numbers."""


@dataclass
class Request:
    """What to do with every photo."""

    model: PhotoModel
    wanted: Wanted
    methods: list[str]
    all_methods: bool
    """Whether nobody asked for a method in particular, so that one that is not defined for the network is left out."""
    layer: str | None
    checked: bool
    truth: str | None
    settings: dict[str, float]
    out: Path


@dataclass
class _Answer:
    """One photo's record (JSON), its lines for people, and its checks."""

    record: dict[str, Any]
    checks: list[Faithfulness]
    skipped: dict[str, str]


def run(
    *,
    photos: list[Path],
    model: str,
    targets: list[str],
    top_k: int,
    part: str,
    missed: list[str],
    methods: list[str],
    layer: str | None,
    check: bool,
    truth: str | None,
    settings: list[str],
    out: Path,
    checkpoint: Path | None,
    classes: Path | None,
    device: str,
    json_output: bool,
) -> None:
    """Explains every photo; a photo that fails is reported and the others are done. Exits 2 if any failed."""
    names, everything = chosen_methods(methods)  # what is wrong with it is said before a network is loaded
    parsed = _settings(settings, names)
    if truth is not None and not check:
        raise PellucidError("--truth is used by the faithfulness tests: give --check with it")
    if truth is not None:
        _box(truth)
    if layer is not None and not any(METHODS[name].uses_layer for name in names):
        using = ", ".join(name for name, known in METHODS.items() if known.uses_layer)
        raise PellucidError(f"--layer {layer}: none of these methods looks at a layer; those that do are {using}")
    check_folder(out)
    found, refused = photos_to_do(photos, out)
    network = load_any(model, checkpoint, classes, device)
    wanted = Wanted(
        tuple(dict.fromkeys(network.classes.index(t) for t in targets)), top_k, part.strip().lower(), tuple(missed)
    )
    check_wanted(network, wanted)
    if not isinstance(network, Classifier):
        names = names if methods else list(OBJECT_METHODS)
    elif everything:
        names = [name for name in names if not METHODS[name].of_objects]
    named_layer(network.network, layer)  # what is wrong with it is said before any photo is done
    request = Request(
        model=network,
        wanted=wanted,
        methods=names,
        all_methods=everything or not methods,
        layer=layer,
        checked=check,
        truth=truth,
        settings=parsed,
        out=out,
    )
    items, failed = explain_photos(request, found, print_lines=not json_output, refused=refused)
    if json_output:
        print_json(items)
    if failed:
        if len(found) > 1 and not json_output:
            print(f"{len(found) - failed} of {len(found)} photos explained, {failed} failed", file=sys.stderr)
        raise SystemExit(2)


def explain_photos(
    request: Request, photos: list[Path], *, print_lines: bool, refused: Mapping[Path, PellucidError] | None = None
) -> tuple[list[dict[str, Any]], int]:
    """The records of all photos, in order, and how many failed; ``refused``: what is known to be wrong with some."""
    items: list[dict[str, Any]] = []
    failed = 0
    folders: set[str] = set()
    steps = len(request.methods) + 1
    with progress_bar() as bar:
        task = bar.add_task("", total=steps * len(photos))
        for number, photo in enumerate(photos):

            def say(text: str, photo: Path = photo) -> None:
                bar.update(task, description=f"{photo.name}: {text}")

            try:
                if refused and photo in refused:
                    raise refused[photo]
                folder = request.out / folder_name(photo, folders)
                answer = _explain_one(request, photo, folder, say, lambda: bar.advance(task))
            except UndefinedMethodError:
                raise  # true of the network, so of every photo
            except PellucidError as error:
                failed += 1
                items.append({"photo": str(photo), "error": str(error)})
                with paused(bar):
                    complain(str(error) if str(photo) in str(error) else f"{photo}: {error}")
            else:
                items.append(answer.record)
                if print_lines:
                    with paused(bar):
                        print("\n".join(_lines(answer)), flush=True)
            bar.update(task, completed=steps * (number + 1))
    return items, failed


def _explain_one(
    request: Request, path: Path, folder: Path, say: Callable[[str], None], advance: Callable[[], object]
) -> _Answer:
    model = request.model
    say("reading")
    photo = read_photo(path)
    subject = Subject(model, photo)  # a large photo is reduced to the network's frame once, for everything
    targets = targets_of(model, subject, photo, request.wanted)
    objectives = targets.objectives
    region = _region(request.truth, photo) if request.truth is not None else None

    made: list[Explanation] = []
    skipped: dict[str, str] = {}
    for name in request.methods:
        say(METHODS[name].title)
        options = {k: v for k, v in request.settings.items() if k in METHODS[name].options}
        layer = request.layer if METHODS[name].uses_layer else None
        try:
            made += explain_subject(subject, objectives, method=name, layer=layer, **options)
        except UndefinedMethodError as error:
            if not request.all_methods:
                raise
            skipped[name] = str(error)
        advance()
    made.sort(key=lambda e: [str(o) for o in objectives].index(e.target))

    checks = check_subject(subject, objectives, made, truth=region, report=say) if request.checked else []
    say("drawing")
    written: list[Path] = []
    try:
        for explanation in made:
            written.append(explanation.save(folder, _stem(explanation, made)))
        files = list(written)
        panel = draw_panel(
            targets.picture,
            targets.listed,
            made,
            path=folder / "panel.png",
            title=path.name,
            subtitle=f"{model.name}: what it says of the photo, and why",
            notes={(c.method, c.target): "fails: " + c.failures_in_short for c in checks if c.failures},
        )
        written.append(panel)
        record: dict[str, Any] = {
            "photo": str(path),
            "model": model.name,
            "size": [targets.size[1], targets.size[0]],
            "predictions": targets.predictions,
            "targets": targets.explained,
            "maps": [
                {"method": e.method, "target": e.target, "layer": e.layer, "file": str(file)}
                for e, file in zip(made, files, strict=True)
            ],
            "panel": str(panel),
        }
        for item, figures in zip(record["maps"], checks, strict=False):
            item["check"] = figures.figures()
        if skipped:
            record["skipped"] = skipped
        write_json(folder / "record.json", record)
    except BaseException:  # a full disk, Ctrl-C: a photo's folder holds all that belongs to it, or nothing of it
        for file in written:
            file.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
        raise
    return _Answer(record, checks, skipped)


def _lines(answer: _Answer) -> Iterable[str]:
    record = answer.record
    said = ", ".join(f"{p['class']} {p['probability']:.1%}" for p in record["predictions"][:3])
    yield f"{record['photo']}: {said or 'nothing found'}"
    for name, why in answer.skipped.items():
        yield f"  {name} left out: {why}"
    if answer.checks:
        yield check_table(answer.checks)
        yield from check_lines(answer.checks)
    yield f"  panel {record['panel']}"


def chosen_methods(given: list[str]) -> tuple[list[str], bool]:
    """The methods' names in the panel's order, and whether 'all' was asked for.

    Raises PellucidError for an unknown one.
    """
    words = [word for text in given for word in text.split(",") if word.strip()]
    if any(word.strip().lower() == "all" for word in words):
        return list(METHODS), True
    if given and not words:
        raise PellucidError(f"--method: names no method; the methods are {', '.join(METHODS)}")
    wanted = {method_named(word).name for word in words} or set(DEFAULT_METHODS)
    return [name for name in METHODS if name in wanted], False


def _settings(given: list[str], methods: list[str]) -> dict[str, float]:
    known = {option for name in methods for option in METHODS[name].options} - {"progress"}
    parsed: dict[str, float] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise PellucidError(
                f"--set {text}: give NAME=VALUE, NAME one of "
                f"{', '.join(sorted(known)) or '(these methods have no settings)'}"
            )
        parsed[name] = _setting(name, value)
    return parsed


def _setting(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise PellucidError(f"--set {name}={value}: '{value}' is no number") from None
    if name in _SHARES:
        if not 0 <= number <= 1:
            raise PellucidError(f"--set {name}={value}: give a number from 0 to 1")
        return number
    least, most = (0, 2**32) if name == "seed" else (1, 10_000)
    if not (math.isfinite(number) and number.is_integer() and least <= number <= most):
        raise PellucidError(f"--set {name}={value}: give a whole number from {least} to {most}")
    return int(number)


def _region(text: str, photo: Tensor) -> Tensor:
    """The true region as a mask (H, W), from 'x1,y1,x2,y2' or the path of a mask image."""
    H, W = photo.shape[-2:]
    box = _box(text)
    if box is not None:
        mask = box_region(box, (H, W))
    else:
        mask = read_photo(text).amax(0) > 0
        if mask.shape != (H, W):
            raise PellucidError(
                f"{text}: the mask is {mask.shape[1]}×{mask.shape[0]}, the photo {W}×{H}; they must agree"
            )
    if not mask.any():
        raise PellucidError(f"--truth {text}: the region holds no pixel of the {W}×{H} photo")
    return mask


def _box(truth: str) -> tuple[float, ...] | None:
    """The four numbers of --truth, None where it is a file; raises PellucidError where it is neither."""
    if Path(truth).is_file():
        return None
    with suppress(ValueError):
        numbers = tuple(float(part) for part in truth.split(","))
        if len(numbers) == 4:
            return numbers
    raise PellucidError(f"--truth {truth}: no such file; give four numbers x1,y1,x2,y2, or a mask image")


def _stem(explanation: Explanation, made: list[Explanation]) -> str:
    """A map's file name: method and target, kept apart where two targets look the same in a file name."""

    def plain(e: Explanation) -> str:
        return f"{e.method}-{plain_name(e.target)}"

    same = [e.target for e in made if plain(e).lower() == plain(explanation).lower()]
    return plain(explanation) if len(same) == 1 else f"{plain(explanation)}-{same.index(explanation.target) + 1}"
