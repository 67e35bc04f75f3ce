"""``pellucid demo``: sample photos are explained, a detector is trained, scored, and its errors explained; offline."""

import time
from pathlib import Path

from PIL import Image

from pellucid.cli.common import check_folder, load_any, load_model
from pellucid.cli.explain import Request, explain_photos
from pellucid.cli.explain_targets import Wanted
from pellucid.cli.predict import Found, predict_images
from pellucid.cli.predict import Request as Detection
from pellucid.cli.sources import find_images
from pellucid.explain import METHODS
from pellucid.files import written_whole
from pellucid.models import Detector

PHOTOS = {"cat": "chelsea", "coffee": "coffee", "astronaut": "astronaut"}
"""Our names for three of the photos that scikit-image ships."""

SCENES = "scenes:n=128,size=128,seed=1"
OTHER_SCENES = "scenes:n=40,size=128,seed=2"
"""What the detector learns from, and is scored on, of its split val."""

SMALL = {
    "settings.min_side": 128,
    "settings.max_side": 160,
    "settings.channels": 64,
    "settings.box_features": 256,
    "settings.mask_channels": 48,
    "settings.proposals_before": 200,
    "settings.proposals_after": 100,
    "settings.training_proposals_before": 400,
    "settings.training_proposals_after": 200,
    "settings.region_samples": 64,
}
"""A Mask R-CNN that learns something in a minute or two on two cores."""

EPOCHS = 12
CASES = 24
"""So many false positives, and missed objects, are shown at most."""

SETTINGS = {"masks": 300, "samples": 16, "steps": 16}
"""Fewer passes than the methods' defaults: a demo should not keep anyone waiting."""


def run(*, out: Path) -> None:
    """Finds what is in the photos, explains their three top classes, and prints where the pictures are."""
    import skimage.data

    check_folder(out)
    began = time.perf_counter()
    paths = []
    for name, source in PHOTOS.items():
        path = out / "photos" / f"{name}.png"
        with written_whole(path) as temporary:
            Image.fromarray(getattr(skimage.data, source)()).save(temporary)
        paths.append(path)
    network = load_any("rcnn-imagenet", None, None, "auto")
    images = find_images([str(path) for path in paths], None, out)
    assert isinstance(network, Detector)
    least = float(network.settings["score_threshold"])
    print("What is in them, by the classifier and selective search alone:")
    predict_images(Detection(network, images, least, None, None, True, out, 1), Found(), print_lines=True)
    print("\nAnd why:")
    methods = [name for name, method in METHODS.items() if not method.of_objects]
    request = Request(
        model=load_model("tf_efficientnet_lite0", None, None, "auto"),
        wanted=Wanted((), 3),
        methods=methods,
        all_methods=True,
        layer=None,
        checked=False,
        truth=None,
        settings=dict(SETTINGS),
        out=out,
    )
    explain_photos(request, paths, print_lines=True)
    print(f"Three photos, {len(methods)} methods each, in {time.perf_counter() - began:.0f} s.")
    report = train_and_report(out)
    print(
        f"\nAll in {time.perf_counter() - began:.0f} s. Open {report} in a browser; the panels are in {out}/, and what "
        f"was found in {out}/pictures/.\nNext: pellucid serve {out}/detector/best.safetensors"
    )


def train_and_report(out: Path) -> Path:
    """Trains a small Mask R-CNN on generated scenes, and reports on it; goes on where an earlier demo was stopped."""
    from pellucid.cli import report, train
    from pellucid.cli.running import Running

    folder, page = out / "detector", out / "report.html"
    again = (folder / "recipe.yaml").is_file()
    print("\nA Mask R-CNN of your own, from generated scenes:", flush=True)
    train.run(
        recipe=None if again else "mask_rcnn",
        data=None if again else SCENES,
        val=None if again else OTHER_SCENES,
        split=None,
        val_split=None,
        epochs=None if again else EPOCHS,
        batch_size=None,
        backbone=None,
        weights=None,
        changes=[] if again else [f"{key}={value}" for key, value in {**SMALL, "validation.every": EPOCHS}.items()],
        out=folder,
        resume=again,
        device="auto",
        precision=None,
        seed=None,
        json_output=False,
    )
    print("\nIts scores, its errors, and why it made them:", flush=True)
    report.run(
        truth=str(folder / "best.safetensors"),
        predictions=OTHER_SCENES,
        out=page,
        protocol=None,
        split="val",  # as training does
        cases=CASES,
        method="odam",
        explain=True,
        trust=0,
        drop_unknown=False,
        running=Running(),
    )
    return page
