"""Makes the guide's pictures of a report and of the page, by Chromium: python docs/make_report_pictures.py MODEL DATA.

MODEL: a detector's checkpoint. DATA: an annotated data set, whose split val is reported on; its first photo is dropped
on the page.
"""

import io
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import pellucid
from pellucid.cli.report import run
from pellucid.cli.running import Running
from pellucid.web import create_app

PICTURES = Path(__file__).parent / "pictures"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]


def kept(page: Page, name: str) -> None:
    """The page as it is shown, as a JPEG of the guide."""
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        shot.convert("RGB").save(PICTURES / name, quality=86, optimize=True)


def report_pictures(browser: Browser, model: str, data: str, folder: Path) -> None:
    """The top of a report, and a gallery of it."""
    out = folder / "report.html"
    run(
        truth=model, predictions=data, out=out, protocol=None, split="val", cases=60, method="odam", explain=True,
        trust=0, drop_unknown=False, running=Running(),
    )  # fmt: skip
    page = browser.new_page(viewport={"width": 1200, "height": 1760})
    page.goto(out.as_uri())
    kept(page, "report.jpg")
    page.set_viewport_size({"width": 1200, "height": 980})
    page.evaluate("document.getElementById('gallery').scrollIntoView()")
    page.keyboard.press("2")
    page.wait_for_timeout(500)
    kept(page, "cases.jpg")


def page_picture(browser: Browser, model: str, data: str, folder: Path) -> None:
    """The page with a photo, one of whose objects is explained."""
    photo = folder / "photo.png"
    pixels = pellucid.open_dataset(data, split="val").sample(0).read_image()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(photo)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    network = pellucid.load(model)
    server = uvicorn.Server(uvicorn.Config(create_app(network), log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"http://127.0.0.1:{listening.getsockname()[1]}")
    page.set_input_files("input[type=file]", photo)
    page.locator("#objects button, #objects li").first.click(timeout=60_000)
    page.get_by_text("The way back").wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    kept(page, "serve.jpg")
    server.should_exit = True


def main(model: str, data: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=chromium, args=QUIET)
        report_pictures(browser, model, data, Path(folder))
        page_picture(browser, model, data, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
