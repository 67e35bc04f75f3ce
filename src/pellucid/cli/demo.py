"""``pellucid demo``: three sample photos, what is in them, and why by every method; no download."""

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
    print(
        f"Three photos, {len(methods)} methods each, in {time.perf_counter() - began:.0f} s. "
        f"Open the panels in {out}/, "
        f"and what was found in {out}/pictures/."
    )
