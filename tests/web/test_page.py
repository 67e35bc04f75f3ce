"""The page of the server in a real browser, against the real server with tiny models."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image
from torch import Tensor, nn

from pellucid.models import build
from pellucid.models.classification import Classifier
from pellucid.models.preprocessing import Preprocessing
from pellucid.structures import Classes
from pellucid.structures.keypoints import KeypointNames
from pellucid.web import units
from pellucid.web.application import create_app

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

PATIENCE = 15_000  # milliseconds: the machine may be busy
NASTY = "<img src=x onerror=alert(1)>"
TINY = {
    "min_side": 64,
    "max_side": 96,
    "box_features": 16,
    "channels": 8,
    "score_threshold": 0.05,
    "detections": 60,
    "proposals_after": 20,
}
DROP = """async ([bytes, name]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    for (const kind of ["dragenter", "dragover", "drop"]) {
        const event = new DragEvent(kind, {dataTransfer: carried, bubbles: true, cancelable: true});
        document.querySelector("h1").dispatchEvent(event);
    }
}"""
HEAT = "document.querySelector('#heat').src"
PASTE = """async ([bytes, name]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: carried, bubbles: true}));
}"""


class TinyClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.last = nn.Conv2d(8, 6, 3, stride=2, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.fc(self.last(self.conv(x).relu()).relu().mean((2, 3)))
        return made


def detector(recipe: str) -> Any:
    torch.manual_seed(0)
    points = (KeypointNames(("x", "y", "z")),) * 3 if recipe == "keypoint_rcnn" else ()
    heads = {"mask_rcnn": {"mask_channels": 8}, "keypoint_rcnn": {"keypoint_channels": 8}}[recipe]
    model = build(recipe, Classes(("a", NASTY, "c"), keypoints=points), pretrained=False, **TINY, **heads).eval()
    for parameter in model.network.predictor.parameters():  # type: ignore[union-attr]
        nn.init.normal_(parameter, std=0.3)  # so that objects differ
    return model


def classifier() -> Any:
    preprocessing = Preprocessing((32, 32), (32, 32), "bilinear", "center", (0.5,) * 3, (0.5,) * 3)
    return Classifier(TinyClassifier().eval(), preprocessing, Classes(("tabby", NASTY, "c", "d")), "tiny")


def serve(model: Any) -> Iterator[str]:
    app = create_app(model)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "_STEPS", 4)
        yield from serve(detector("mask_rcnn"))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    pixels = np.random.default_rng(1).integers(0, 255, (72, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@dataclass
class Watched:
    """A page, what it asked of which address, and whatever its browser complained of."""

    page: Any
    asked: list[tuple[str, str]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def open(self, photo: Path) -> dict[str, Any]:
        with self.page.expect_response(posts("api/photos")) as answer:
            self.page.set_input_files("#file", photo)
        said: dict[str, Any] = answer.value.json()
        expect(self.page.locator("#work")).to_be_visible()
        return said

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the photo is on the screen."""
        stage = self.page.locator("#stage").bounding_box()
        return stage["x"] + x / 96 * stage["width"], stage["y"] + y / 72 * stage["height"]

    def explained(self, act: Callable[[], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was asked for an explanation by an act, and what was answered, once the page shows it."""
        with self.page.expect_response(posts("explanations")) as answer:
            act()
        assert answer.value.status == 200, answer.value.text()
        said = answer.value.json()
        expect(self.page.locator(".sentence")).to_have_text(said["sentence"])
        expect(self.page.locator("#heat")).to_be_visible()
        return answer.value.request.post_data_json, said


def posts(end: str) -> Callable[[Any], bool]:
    return lambda response: response.request.method == "POST" and response.url.endswith(end)


def watched(browser: Any, address: str) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1300, "height": 850})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    one = Watched(page)
    page.on("request", lambda request: one.asked.append((request.method, request.url)))
    page.on("pageerror", lambda error: one.trouble.append(str(error)))
    page.on("dialog", lambda dialog: (one.trouble.append("a dialog"), dialog.dismiss()))
    page.on("console", lambda said: said.type in ("error", "warning") and one.trouble.append(said.text))
    page.goto(address)
    expect(page.locator("#about-model")).to_contain_text("It knows")
    yield one
    context.close()
    assert not one.trouble
    assert [url for _, url in one.asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Watched]:
    yield from watched(browser, address)


def test_a_photo_comes_in_by_drop_file_and_paste(page: Watched, photo: Path) -> None:
    assert not page.page.locator("#work").is_visible()
    said = page.open(photo)
    rows = page.page.locator("#objects button")
    expect(rows).to_have_count(len(said["objects"]))
    assert len(said["objects"]) >= 5
    boxes = page.page.locator("#shapes .object")
    expect(boxes).to_have_count(len(said["objects"]))
    for number, found in enumerate(said["objects"]):
        assert rows.nth(number).locator(".name").text_content() == found["class"]
        assert rows.nth(number).locator(".score").text_content() == f"{found['score']:.2f}"
        drawn = page.page.locator(f'#shapes [data-number="{number}"] .box')
        x, y, width, height = (float(drawn.get_attribute(name)) for name in ("x", "y", "width", "height"))
        assert [x, y, x + width, y + height] == pytest.approx(found["box"], abs=1e-3)
    expect(page.page.locator("#shapes .outline").first).to_be_attached()
    for script, name in ((DROP, f"{NASTY}.png"), (PASTE, "pasted.png")):
        with page.page.expect_response(posts("api/photos")):
            page.page.evaluate(script, [list(photo.read_bytes()), name])
        expect(page.page.locator("#photo-name")).to_have_text(name)
    assert sum(method == "DELETE" for method, _ in page.asked) == 2  # what was replaced is forgotten


def test_sliders_ask_for_no_pass(page: Watched, photo: Path) -> None:
    said = page.open(photo)
    before = [method for method, _ in page.asked].count("POST")
    cut = round((said["objects"][0]["score"] + said["objects"][-1]["score"]) / 2, 2)
    page.page.get_by_label("Score at least").fill(str(cut))
    left = sum(found["score"] >= cut for found in said["objects"])
    expect(page.page.locator("#shapes .object")).to_have_count(left)
    assert 0 < left < len(said["objects"])
    expect(page.page.locator("output").first).to_have_text(f"{cut:.2f}")
    page.page.get_by_role("button", name="Reset").click()
    expect(page.page.locator("#objects button")).to_have_count(len(said["objects"]))
    expect(page.page.get_by_role("button", name="Reset")).to_be_hidden()
    page.page.get_by_label("Boxes overlap at most").fill("0.01")
    expect(page.page.locator("#shapes .object")).not_to_have_count(len(said["objects"]))
    assert [method for method, _ in page.asked].count("POST") == before


def test_a_list_and_its_boxes_light_up_together(page: Watched, photo: Path) -> None:
    found = page.open(photo)["objects"]
    page.page.locator("#objects button").nth(2).hover()
    expect(page.page.locator("#shapes .object.hovered")).to_have_attribute("data-number", "2")
    smallest = min(found, key=area)
    page.page.mouse.move(*page.at(*middle(smallest)))
    expect(page.page.locator("#objects button").nth(smallest["number"])).to_have_class(re.compile("hovered"))


def test_a_click_explains_the_object_and_then_its_edge(page: Watched, photo: Path) -> None:
    smallest = min(page.open(photo)["objects"], key=area)
    asked, said = page.explained(lambda: page.page.mouse.click(*page.at(*middle(smallest))))
    assert (asked["target"]["number"], asked["target"]["part"]) == (smallest["number"], "score")
    assert page.page.locator("#heat").get_attribute("src") == said["heat"]
    expect(page.page.locator(".step")).to_have_count(len(said["steps"]))
    page.page.locator("button.step").first.hover()
    expect(page.page.locator("#shapes .pointed")).to_be_attached()

    x1, y1, _, y2 = smallest["box"]
    asked, _ = page.explained(lambda: page.page.mouse.click(*page.at(x1 + 0.2, (y1 + y2) / 2)))
    assert asked["target"] == {**asked["target"], "number": smallest["number"], "part": "left"}
    expect(page.page.get_by_role("button", name="Left edge")).to_have_attribute("aria-pressed", "true")
    expect(page.page.locator("#shapes .edge.asked")).to_be_attached()

    page.page.get_by_role("button", name="Pixel", exact=True).click()
    asked, _ = page.explained(lambda: page.page.mouse.click(*page.at(*middle(smallest))))
    assert asked["target"]["pixel"] == pytest.approx(middle(smallest), abs=1)
    asked, _ = page.explained(lambda: page.page.locator("#instead select").select_option(index=1))
    assert asked["target"]["kind"] == "instead"
    assert asked["target"]["class"] == smallest["class"]
    assert asked["target"]["other"] != smallest["class"]


def test_empty_ground_and_a_drawn_box_ask_what_was_missed(page: Watched, photo: Path) -> None:
    page.open(photo)
    page.page.get_by_label("Score at least").fill("1")
    expect(page.page.locator("#nothing")).to_be_visible()
    asked, _ = page.explained(lambda: page.page.mouse.click(*page.at(40, 30)))
    assert asked["target"]["kind"] == "missed"
    assert asked["target"]["point"] == pytest.approx([40, 30], abs=0.2)
    assert asked["target"]["class"] is None
    expect(page.page.locator("#why-title")).to_have_text("What was missed here?")
    asked, _ = page.explained(lambda: page.page.get_by_label("Of class").select_option(NASTY))
    assert asked["target"]["class"] == NASTY

    def draw() -> None:
        page.page.mouse.move(*page.at(20, 15))
        page.page.mouse.down()
        page.page.mouse.move(*page.at(50, 45), steps=3)
        page.page.mouse.up()

    asked, _ = page.explained(draw)
    assert asked["target"]["box"] == pytest.approx([20, 15, 50, 45], abs=0.2)
    expect(page.page.locator("#shapes .missed")).to_be_attached()


def test_another_method_the_test_and_the_units(page: Watched, photo: Path) -> None:
    page.open(photo)
    first, _ = page.explained(page.page.locator("#objects button").first.click)
    names = page.page.locator("#method option").evaluate_all("all => all.map((one) => one.value)")
    other = next(name for name in ("grad_cam", "odam") if name in names and name != first["method"])
    asked, _ = page.explained(lambda: page.page.select_option("#method", other))
    assert (asked["method"], asked["target"]) == (other, first["target"])

    with page.page.expect_response(posts("check")) as answer:
        page.page.get_by_role("button", name="Test it").click()
    expect(page.page.locator(".chart svg .curve")).to_have_count(2)
    expect(page.page.locator(".verdict")).to_contain_text(answer.value.json()["sentence"])

    page.page.get_by_role("button", name="At the hottest place").click()
    expect(page.page.locator(".chip").first).to_be_visible()
    explained = page.page.evaluate(HEAT)
    page.page.get_by_role("button", name="At a place that I click").click()
    with page.page.expect_response(re.compile("/units")) as answer:
        page.page.mouse.click(*page.at(60, 20))
    expect(page.page.locator(".chip")).to_have_count(len(answer.value.json()["units"]))
    page.page.locator(".chip").first.click()
    page.page.wait_for_function(f"(old) => ({HEAT}) !== old", arg=explained)
    expect(page.page.locator(".unit img")).to_be_visible()
    assert page.page.locator(".unit img").evaluate("async (one) => (await one.decode(), one.naturalWidth)") > 32
    page.page.keyboard.press("Escape")
    page.page.wait_for_function(f"(old) => ({HEAT}) === old", arg=explained)


def test_what_goes_wrong_is_said_in_a_line_and_the_page_goes_on(page: Watched, photo: Path, tmp_path: Path) -> None:
    broken = tmp_path / f"{NASTY}.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    alert = page.page.get_by_role("alert")
    page.page.set_input_files("#file", broken)
    expect(alert).to_contain_text(NASTY)
    expect(page.page.locator("#progress")).to_be_empty()
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_empty()

    said = page.open(photo)
    page.page.evaluate("(id) => fetch(`api/photos/${id}`, {method: 'DELETE'})", said["id"])
    page.page.locator("#objects button").first.click()
    expect(alert).to_contain_text("Drop it again")
    page.open(photo)
    expect(alert).to_be_empty()
    page.explained(page.page.locator("#objects button").first.click)

    page.page.route("**/api/**", lambda route: route.abort())
    page.page.locator("#objects button").nth(1).click()
    expect(alert).to_contain_text("does not answer")
    page.page.unroute("**/api/**")
    page.explained(page.page.locator("#objects button").nth(1).click)
    assert all("Failed to load resource" in line for line in page.trouble)
    page.trouble.clear()


def test_everything_is_reached_by_keys(page: Watched, photo: Path) -> None:
    page.open(photo)
    keys = page.page.keyboard
    for key in ("j", "ArrowDown", "j", "k"):
        keys.press(key)
    expect(page.page.locator("#objects button").nth(1)).to_be_focused()
    expect(page.page.locator("#shapes .object.hovered")).to_have_attribute("data-number", "1")
    asked, _ = page.explained(lambda: keys.press("Enter"))
    assert asked["target"]["number"] == 1
    keys.press("h")
    expect(page.page.locator("#heat")).to_be_hidden()
    keys.press("b")
    expect(page.page.locator("#shapes .object")).to_have_count(0)
    keys.press("b")
    keys.press("?")
    expect(page.page.locator("#help")).to_be_visible()
    keys.press("Escape")
    expect(page.page.locator("#help")).to_be_hidden()
    expect(page.page.locator(".sentence")).to_be_visible()
    keys.press("Escape")
    expect(page.page.locator(".sentence")).to_have_count(0)


def test_it_fits_a_telephone(page: Watched, photo: Path) -> None:
    page.page.set_viewport_size({"width": 380, "height": 780})
    page.open(photo)
    page.explained(page.page.locator("#objects button").first.click)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 380
    stage, why = (page.page.locator(name).bounding_box() for name in ("#stage", "#why"))
    assert why["y"] >= stage["y"] + stage["height"]


def test_keypoints_are_drawn_and_explained(browser: Any, photo: Path) -> None:
    for address in serve(detector("keypoint_rcnn")):
        for page in watched(browser, address):
            found = page.open(photo)["objects"]
            expect(page.page.locator("#shapes .dot.point")).to_have_count(3 * len(found))
            cut = found[len(found) // 2]["score"] - 0.005
            page.page.get_by_label("Boxes overlap at most").fill("0.9")  # other objects: their keypoints come later
            page.page.get_by_label("Score at least").fill(f"{cut:.2f}")
            page.page.wait_for_function(
                "(few) => { const found = document.querySelectorAll('#shapes .object').length; "
                "return found > few && document.querySelectorAll('#shapes .dot.point').length === 3 * found; }",
                arg=len(found) // 2,
            )
            page.explained(page.page.locator("#objects button").first.click)
            page.explained(page.page.get_by_role("button", name="Keypoint", exact=True).click)
            asked, _ = page.explained(lambda page=page: page.page.get_by_label("Which one").select_option(index=2))
            assert asked["target"] == {**asked["target"], "part": "keypoint", "keypoint": 2}


def test_a_classifier_explains_its_classes(browser: Any, photo: Path) -> None:
    for address in serve(classifier()):
        for page in watched(browser, address):
            said = page.open(photo)
            rows = page.page.locator("#objects button")
            assert rows.locator(".name").all_text_contents() == [one["name"] for one in said["classes"]]
            asked, _ = page.explained(rows.nth(1).click)
            assert asked["target"] == {"kind": "class", "class": said["classes"][1]["name"]}
            asked, _ = page.explained(lambda page=page: page.page.locator("#instead select").select_option(index=1))
            assert (asked["target"]["kind"], asked["target"]["number"]) == ("instead", None)


def area(found: dict[str, Any]) -> float:
    x1, y1, x2, y2 = found["box"]
    return float((x2 - x1) * (y2 - y1))


def middle(found: dict[str, Any]) -> tuple[float, float]:
    x1, y1, x2, y2 = found["box"]
    return (x1 + x2) / 2, (y1 + y2) / 2
