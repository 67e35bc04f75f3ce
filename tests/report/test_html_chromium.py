"""The page of a report in a browser: its filters, keys, themes and prints."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from html_samples import NASTY, full

from pellucid.report.html.page import write_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_html(full(), tmp_path_factory.mktemp("report & more") / "report.html").as_uri()


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    """The report, opened; afterwards nothing may have gone wrong in it, and nothing have been asked for."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light")
    opened = context.new_page()
    troubles: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: troubles.append(message.text))
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    yield opened
    assert opened.evaluate("window.broken") is None
    context.close()
    assert not troubles
    assert [url for url in asked if not url.startswith("data:") and url.split("#")[0] != address] == []


def _background(page: "Page") -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def _focused(page: "Page") -> str:
    return str(page.evaluate("(document.activeElement.closest('.card') || {}).id || ''"))


def test_filters_count_and_are_kept_in_the_address(page: "Page") -> None:
    count = page.locator("#count")
    expect(count).to_have_text("6 of 6 shown")
    page.select_option("[data-filter=class]", NASTY)
    expect(count).to_have_text("2 of 6 shown")
    page.select_option("[data-filter=size]", "large")
    expect(count).to_have_text("0 of 6 shown")
    expect(page.locator("#gallery-wrong .nothing")).to_be_visible()
    page.click("#reset")
    expect(count).to_have_text("6 of 6 shown")
    page.fill("[data-filter=image]", "LEFT/")
    expect(count).to_have_text("3 of 6 shown")
    page.select_option("[data-filter=type]", "Bkg")
    expect(count).to_have_text("1 of 6 shown")
    assert "type=Bkg" in page.url
    assert "image=LEFT" in page.url
    # A type of false positives says nothing of missed objects.
    page.click("#tab-missed")
    expect(count).to_have_text("3 of 6 shown")
    expect(page.locator("[data-filter=type]")).to_be_hidden()
    page.select_option("[data-filter=reason]", "suppressed")
    expect(count).to_have_text("1 of 6 shown")
    page.reload()
    expect(count).to_have_text("1 of 6 shown")
    expect(page.locator("[data-filter=reason]")).to_have_value("suppressed")
    expect(page.locator(".gallery:visible")).to_have_id("gallery-missed")


def test_an_address_that_names_nothing_known(page: "Page", address: str) -> None:
    page.goto(f"{address}#gallery=none&class=none&image=%3Cb%3E")
    page.reload()
    expect(page.locator("[data-filter=class]")).to_have_value("")
    expect(page.locator("#count")).to_have_text("0 of 6 shown")


def test_keys_move_open_and_close(page: "Page") -> None:
    page.keyboard.press("j")
    assert _focused(page) == "case-1"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert _focused(page) == "case-2"
    page.keyboard.press("ArrowDown")
    assert _focused(page) == "case-5"  # three stand in a row
    page.keyboard.press("ArrowUp")
    view = page.locator("#view")
    page.keyboard.press("Enter")
    expect(view).to_be_visible()
    expect(page.locator("#view-title")).to_contain_text("Sentence 1")
    expect(page.locator("#view-place")).to_have_text("2 of 6")
    expect(view.locator(".way li").first).to_have_text("class step 1")
    expect(view.locator(".tests dd")).to_have_text("1 %")
    assert page.evaluate("document.querySelector('#view img').naturalWidth") == 80
    for _ in range(9):
        page.keyboard.press("j")
    expect(page.locator("#view-place")).to_have_text("6 of 6")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(view).to_be_hidden()
    assert _focused(page) == "case-5"
    page.keyboard.press("3")
    expect(page.locator("#tab-right")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("j")
    assert _focused(page) == "case-13"
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()


def test_typed_letters_are_no_keys(page: "Page") -> None:
    page.locator("[data-filter=image]").press_sequentially("hb1j?")
    expect(page.locator("[data-filter=image]")).to_have_value("hb1j?")
    expect(page.locator("#heat")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#help")).to_be_hidden()


def test_a_click_opens_and_heat_and_boxes_are_switched(page: "Page") -> None:
    page.click("#case-3")
    view = page.locator("#view")
    heat, boxes = view.locator("img.heat"), view.locator("svg.boxes")
    expect(heat).to_be_visible()
    page.locator("#opacity").fill("30")
    assert heat.evaluate("image => getComputedStyle(image).opacity") == "0.3"
    expect(page.locator("#opacity-value")).to_have_text("30 %")
    page.keyboard.press("h")
    expect(heat).to_be_hidden()
    page.keyboard.press("b")
    expect(boxes).to_be_hidden()
    page.keyboard.press("b")
    expect(boxes).to_be_visible()
    page.click("#close")
    expect(page.locator("#case-3 img.heat")).to_be_hidden()
    page.click("#heat")
    expect(page.locator("#case-3 img.heat")).to_be_visible()


def test_the_legend_names_what_is_shown(page: "Page") -> None:
    legend = page.locator("#gallery .legend li:visible")
    expect(legend).to_have_count(3)
    expect(legend.first).to_have_text("what the model said")
    page.keyboard.press("2")
    expect(legend.nth(1)).to_have_text("the detection kept instead")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#view .legend li:visible")).to_have_count(3)


def test_labels_lie_within_the_picture(page: "Page") -> None:
    page.click("#case-1")
    inside = page.locator("#view .picture").evaluate(
        """picture => {
            const whole = picture.getBoundingClientRect();
            return Array.from(picture.querySelectorAll(".tag"), tag => {
                const box = tag.getBoundingClientRect();
                return box.width > 0 && box.left >= whole.left - 1 && box.right <= whole.right + 1
                    && box.top >= whole.top - 1 && box.bottom <= whole.bottom + 1;
            });
        }"""
    )
    assert inside == [True] * 3


def test_the_theme_is_changed_and_kept(page: "Page") -> None:
    light = _background(page)
    page.click("#theme")
    dark = _background(page)
    assert dark != light
    page.reload()
    assert _background(page) == dark
    page.click("#theme")
    assert _background(page) == light
    page.emulate_media(color_scheme="dark")
    assert _background(page) == light


def test_it_works_without_storage(page: "Page") -> None:
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });")
    page.reload()
    light = _background(page)
    page.click("#theme")
    assert _background(page) != light


def test_a_table_is_sorted_by_its_headings(page: "Page") -> None:
    table = page.locator("table.sortable").first

    def column(number: int) -> list[str]:
        return table.locator(f"tbody tr > :nth-child({number})").all_text_contents()

    heading = table.locator("thead th").nth(2)
    heading.locator("button").click()
    assert column(3) == ["0.750", "0.500", "0.250", "–"]
    expect(heading).to_have_attribute("aria-sort", "descending")
    heading.locator("button").click()
    assert column(3) == ["0.250", "0.500", "0.750", "–"]
    table.locator("thead button").nth(1).click()
    assert column(2) == ["1,200", "100", "30", "4"]
    assert heading.get_attribute("aria-sort") is None


def test_the_pointer_reads_a_curve(page: "Page") -> None:
    chart = page.locator("svg.curves")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    scale = box["width"] / 560
    # Recall 0.5 has precision 0.875: the curves of the sample all go through it.
    page.mouse.move(box["x"] + scale * (50 + 494 * 0.5), box["y"] + scale * (34 + 320 * 0.125))
    expect(page.locator(".tip")).to_contain_text("recall 0.500")
    expect(page.locator(".tip")).to_contain_text("precision 0.875")
    page.mouse.move(5, 5)
    expect(page.locator(".tip")).to_be_hidden()


@pytest.mark.parametrize("width", [380, 768])
def test_no_page_is_wider_than_its_screen(page: "Page", width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#case-1 .open").click()
    expect(page.locator("#view")).to_be_visible()
    assert page.locator("#view .view-body").evaluate("body => body.scrollWidth <= body.clientWidth")


def test_a_print_has_every_case(page: "Page") -> None:
    page.fill("[data-filter=image]", "left")
    page.emulate_media(media="print")
    assert page.locator(".card:visible").count() == 18
    assert page.locator(".card .more:visible").count() == 18
    expect(page.locator(".tools")).to_be_hidden()
    # Chromium keeps a JPEG as it is, each of these cases having one of its own.
    assert page.pdf(format="A4").count(b"/DCTDecode") == 18


def test_without_scripts_all_can_be_read(browser: "Browser", address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(address)
    for query in (".card", ".card .more", ".card img.photo"):
        assert opened.locator(f"{query}:visible").count() == 18
    assert opened.locator(".gallery > h3:visible").count() == 3
    expect(opened.locator(".tools")).to_be_hidden()
    expect(opened.locator("#theme")).to_be_hidden()
    context.close()
