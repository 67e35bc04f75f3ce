"""The page of a report: it says what its content says, whatever that holds, and needs nothing else."""

import base64
import math
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from html_samples import GALLERIES, NAMES, NASTY, case, full

from pellucid.errors import PellucidError
from pellucid.report.html import charts
from pellucid.report.html.content import (
    Bin,
    Calibration,
    Case,
    Confusion,
    Content,
    Curves,
    Line,
    Stage,
    Value,
    Waterfall,
)
from pellucid.report.html.page import html_of, write_html

_VOID = {"meta", "link", "img", "input", "br"}
_LOADING = {"src", "href", "srcset", "data", "action", "poster", "xlink:href", "formaction"}


class Page(HTMLParser):
    """A page's elements and its texts; every element must be closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def having(self, attribute: str) -> list[dict[str, str]]:
        return [attributes for _, attributes in self.tags if attribute in attributes]


@pytest.fixture(scope="module")
def text() -> str:
    return html_of(full())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_part_is_there_and_each_id_once(page: Page) -> None:
    ids = Counter(attributes["id"] for attributes in page.having("id"))
    assert max(ids.values()) == 1
    parts = {"scores", "errors", "curves", "calibration", "confusion", "tables", "trust", "gallery", "left-out"}
    assert parts <= set(ids)
    for link in page.all("a"):
        assert link["href"].removeprefix("#") in ids
    for attributes in page.having("aria-labelledby"):
        assert attributes["aria-labelledby"] in ids


def test_nothing_is_loaded(text: str, page: Page) -> None:
    for _, attributes in page.tags:
        for name in _LOADING & set(attributes):
            assert attributes[name].startswith(("data:image/", "#")), attributes[name][:80]
    assert not re.search(r"url\s*\(|@import|//[a-z]", re.sub(r"data:image/[^\"]*", "", text.split("<body>")[0]))
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", "script-src 'unsafe-inline'",
    ]  # fmt: skip
    assert not [attributes for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_nasty_names_stay_text(text: str, page: Page) -> None:
    assert "<script>window.broken" not in text
    assert "{{ 7 * 7 }}" in text
    assert len(page.all("script")) == 2
    assert f"model {NASTY}" in page.text
    assert f"data {NASTY}" in page.text
    labels = {card["data-class"] for card in page.having("data-class")}
    assert labels == set(NAMES)
    assert NASTY in {option["value"] for option in page.all("option")}
    assert any(NASTY in card["data-image"] for card in page.having("data-image"))
    assert {line["data-name"] for line in page.all("polyline")} == set(NAMES)


def test_figures_are_those_of_the_content(page: Page) -> None:
    for said in ("AP 0.412 0.387 to 0.441", "ARs –", "mAP 0.654", "0.042 61", "– 1,210", "0.083", "0.100 0.200 1,234"):
        assert said in page.text, said
    assert "cat 1,200 –" in page.text
    assert "ODAM 0.671" in page.text
    assert "Keypoints: the data has none." in page.text
    assert "nan" not in page.text.lower()


def test_the_waterfall_adds_up(page: Page) -> None:
    fall = full().waterfall
    assert fall is not None
    shown = page.text.split("All objects")[1].split("Precision and recall")[0].replace(NASTY, "")
    whole, *numbers, found = [int(one.replace(",", "").replace("−", "")) for one in re.findall(r"−?[\d,]+", shown)]
    lost, left = numbers[::2], numbers[1::2]
    assert whole == fall.total
    assert found == fall.found == whole - sum(lost)
    assert lost == [stage.lost for stage in fall.stages]
    assert left == [stage.remaining for stage in fall.stages]


def test_the_matrix_holds_every_count_and_shades_shares(page: Page) -> None:
    cells = [cell for cell in page.all("td") if "--share" in cell.get("style", "")]
    assert len(cells) == 15  # background that is taken for background is no case
    assert {"right", "right zero"} & {cell["class"].strip() for cell in cells} == {"right"}
    shares = [float(cell["style"].split(":")[1]) for cell in cells]
    assert shares[:4] == pytest.approx([41 / 46, 2 / 46, 0, 3 / 46], abs=1e-3)
    assert shares[12:] == pytest.approx([0.3, 1 / 3, 11 / 30], abs=1e-3)
    assert f"cat → {NAMES[2]}: 5, 7.9 % of the row" in {cell["title"] for cell in cells}
    assert f"{NASTY} 41 2 0 3 cat 0 52 5 6" in page.text


def test_of_many_classes_the_largest_confusions_are_listed() -> None:
    names = tuple(f"class {k}" for k in range(40))
    counts = [[100 if i == j else 0 for j in range(41)] for i in range(41)]
    counts[3][17], counts[8][2], counts[5][40], counts[40][6] = 7, 25, 90, 80
    few = Content("m", "", (), (), confusion=Confusion(names, tuple(map(tuple, counts)), 0.5, 0.25))
    page = Page(html_of(few))
    assert "class 8 class 2 25 20.0 % class 3 class 17 7 6.5 %" in page.text
    assert len(page.all("tr")) == 3
    counts[3][17] = counts[8][2] = 0
    alike = replace(few, confusion=Confusion(names, tuple(map(tuple, counts)), 0.5, 0.25))
    assert "No object was taken for one of another class." in html_of(alike)


def test_each_picture_is_there_once_and_whole(page: Page) -> None:
    content = full()
    shown = [base64.b64decode(image["src"].split(",", 1)[1], validate=True) for image in page.all("img")]
    wanted = [data for one in content.cases for data in (one.picture, one.explained.heat)]  # type: ignore[union-attr]
    assert shown == wanted
    assert all(
        image["src"].startswith(("data:image/jpeg;base64,", "data:image/png;base64,")) for image in page.all("img")
    )
    assert all(image["alt"] for image in page.all("img"))


def test_a_case_says_all_it_knows(text: str) -> None:
    card = text.split('id="case-7"')[1].split("</article>")[0]
    assert 'data-type="Miss" data-size="small" data-reason="no anchor" data-image="right/0006.jpg"' in card
    said = Page(f"<article {card}</article>").text
    for word in (
        "Sentence 6",
        "missed",
        "small",
        "no anchor",
        "class step 6",
        "ODAM",
        "6 %",
        "Passes",
        "right/0006.jpg",
    ):
        assert word in said, word
    for role in ("kept", "truth", "near"):
        assert f'class="stroke {role}"' in card
        assert f'class="tag {role}' in card
    assert 'd="M20 10L58 10L40 50Z"' in card
    assert "fails its test" not in said
    assert "fails its test" in text.split('id="case-8"')[1].split("</article>")[0]


def test_a_case_may_have_little() -> None:
    bare = Case("wrong", "Bkg", "cat", None, "small", "a.jpg", "Said.", b"", 0, 0, ())
    page = Page(html_of(Content("m", "", (), (), cases=(bare,))))
    assert not page.all("img")
    assert "1 case" not in page.text
    assert not [label for label in page.having("data-filter") if label["data-filter"] != "image"]
    assert page.having("data-gallery")[0]["data-gallery"] == "wrong"


def test_what_is_empty_is_left_out() -> None:
    text = html_of(Content("model", "", (), ()))
    page = Page(text)
    assert not page.all("section")
    assert not page.all("dialog")
    assert page.text.split("Skip to the content")[1].split() == ["◐", "model"]


def test_filters_offer_what_there_is(page: Page) -> None:
    values = [option["value"] for option in page.all("option")]
    sizes = [value for value in values if value in ("small", "medium", "large")]
    assert sizes == ["small", "medium", "large"]
    assert set(values) >= {"Cls", "Bkg", "Loc", "Miss", "Right", "no anchor", "scored too low", "suppressed"}


def test_two_hundred_cases_stay_small_and_it_is_written_whole(tmp_path: Path) -> None:
    cases = tuple(
        replace(one, picture=bytes([i % 256]) * 40_000, explained=replace(one.explained, heat=bytes([i % 256]) * 8_000))
        for i in range(200)
        for one in [case(i, GALLERIES[i % 3])]
        if one.explained is not None
    )
    path = tmp_path / "new" / "report.html"
    assert write_html(full(cases), path) == path
    assert path.stat().st_size <= 15e6
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8").count("<article") == 200


def test_names_that_are_no_text_are_written(tmp_path: Path) -> None:
    odd = (case(0, "wrong", image="broken\udcff.jpg"),)
    assert "broken?.jpg" in write_html(full(odd), tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PellucidError, match="cannot write here"):
        write_html(Content("m", "", (), ()), tmp_path / "file" / "report.html")


def test_numbers() -> None:
    assert [charts.number(v) for v in (0.12345, -0.5, -0.0001, math.nan, math.inf, None)] == [
        "0.123", "−0.500", "0.000", "–", "–", "–",
    ]  # fmt: skip
    assert [charts.short(v) for v in (0, 999, 1234, 12_345, 1_500_000)] == ["0", "999", "1.2k", "12k", "1.5M"]


def test_an_interval_is_drawn_to_scale() -> None:
    drawn = charts.interval(Value("AP", 0.4, 0.3, 0.6))
    assert 'x="30.00%"' in drawn
    assert 'width="30.00%"' in drawn
    assert 'x1="40.00%"' in drawn
    assert "band" not in charts.interval(Value("AP", 0.4))
    assert "band" not in charts.interval(Value("AP", 0.4, math.nan, 0.6))
    assert charts.interval(Value("AP", math.nan, 0.1, 0.2)) == ""
    assert 'x1="50.00%"' in charts.interval(Value("error", 4.0), 8.0)


def test_a_waterfall_that_loses_little_begins_where_it_says() -> None:
    few = Waterfall(1138, 1103, 0.5, (Stage("suppressed", 35, 1103),))
    text = html_of(Content("m", "", (), (), waterfall=few))
    assert "The bars begin at 1,060, not at 0." in text
    assert f"--from:{43 / 78:.4f};--to:{78 / 78:.4f}" in text
    assert text.count(f"--from:0;--to:{43 / 78:.4f}") == 1
    assert [charts.floor_of(Waterfall(10, n, 0.5, ())) for n in (10, 9, 7, 0)] == [0, 8, 0, 0]
    assert charts.floor_of(Waterfall(0, 0, 0.5, ())) == 0
    assert "not at 0" not in html_of(full())


def test_a_thinned_line_keeps_its_ends_and_its_extremes() -> None:
    points = [(k / 9999, 1 - k / 20000) for k in range(10_000)]
    points[5000] = (points[5000][0], 0.01)
    thin = charts.thinned(points)
    assert len(thin) <= charts.POINTS + 2
    assert thin[0] == points[0]
    assert thin[-1] == points[-1]
    assert points[5000] in thin
    assert thin == sorted(thin)
    assert charts.thinned([(0.1, math.nan), (0.2, 0.5)]) == [(0.2, 0.5)]


def test_precision_at_a_recall() -> None:
    line = Line("a", ((0.1, 0.5), (0.2, 0.8), (0.6, 0.4)), 0.3)
    assert charts.precision_at(line, 0.1) == 0.8
    assert charts.precision_at(line, 0.3) == 0.4
    assert math.isnan(charts.precision_at(line, 0.7))


def test_curves_of_many_classes_colour_the_best_and_the_worst() -> None:
    lines = tuple(Line(f"class {k}", ((0.1, 1.0), (0.9, 0.2)), 1 - k / 30) for k in range(30))
    drawn = charts.curve_chart(Curves(0.5, lines))
    looks = re.findall(r'class="line (\w+)"[^>]*data-line="(\d+)"', drawn)
    assert len(looks) == 30
    assert [look for look, _ in looks[:20]] == ["rest"] * 20
    assert {int(place) for _, place in looks[20:]} == {*range(5), *range(25, 30)}


def test_a_curve_without_points() -> None:
    Page(charts.curve_chart(Curves(0.5, (Line("none", (), math.nan),))))


def test_reliability_leaves_empty_bins_out_and_tells_too_sure_from_unsure() -> None:
    bins = (Bin(0.2, 0.5, 10), Bin(0.5, math.nan, 0), Bin(0.9, 0.4, 3))
    drawn = charts.reliability_chart(Calibration(bins, 0.1))
    assert drawn.count('class="bin unsure"') == 1
    assert drawn.count('class="bin sure"') == 1
    assert drawn.count('class="column"') == 2
