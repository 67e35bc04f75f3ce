"""Makes the picture of generated scenes in docs/pictures: python docs/make_data_pictures.py"""

from pathlib import Path

from PIL import Image

from pellucid import open_dataset
from pellucid.report.contact_sheet import contact_sheet


def main() -> None:
    """Draws the first twelve scenes with everything that is said of them."""
    picture = Path(__file__).parent / "pictures" / "scenes.jpg"
    sheet = contact_sheet(open_dataset("scenes:n=12,seed=0"), count=12, columns=4, path=picture.with_suffix(".png"))
    Image.open(sheet).convert("RGB").save(picture, quality=88)
    Path(sheet).unlink()


if __name__ == "__main__":
    main()
