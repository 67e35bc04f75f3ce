"""Makes the pictures of the guide: ``uv run python docs/make_pictures.py``. No download."""

import subprocess
import tempfile
from pathlib import Path

import skimage.data
from PIL import Image

PICTURES = Path(__file__).parent / "pictures"
WIDTH = 1164


def _keep(page: Path, name: str) -> None:
    """A page of the command's as a JPEG of the guide's width."""
    with Image.open(page) as picture:
        height = round(picture.height * WIDTH / picture.width)
        picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS).save(
            PICTURES / name, quality=88, optimize=True
        )


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "cat.png"
        Image.fromarray(skimage.data.chelsea()).save(photo)
        explain = ["explain", str(photo), "--method", "all", "--top-k", "1", "--out", folder]
        adversarial = ["adversarial", str(photo), "--target", "goldfish", "--out", folder]
        for arguments in (explain, adversarial, ["blocks", str(photo), "--out", str(Path(folder) / "apart")]):
            subprocess.run(["pellucid", *arguments], check=True)
        _keep(Path(folder) / "cat" / "panel.png", "cat.jpg")
        _keep(Path(folder) / "cat" / "adversarial-panel.png", "adversarial.jpg")
        _keep(Path(folder) / "apart" / "cat" / "blocks.png", "blocks.jpg")


if __name__ == "__main__":
    main()
