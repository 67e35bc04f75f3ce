import pytest

from pellucid.report.bars import percent
from pellucid.report.lettering import drawable, shortened, width_of, wrapped


def test_what_fits_is_left_alone():
    assert shortened("tabby", 200, 14) == "tabby"


@pytest.mark.parametrize("width", [20, 61, 100, 333])
def test_a_long_text_is_cut_to_its_width_and_not_far_below_it(width):
    made = shortened("tiger shark Galeocerdo cuvieri " * 9, width, 14)
    assert made.endswith("…")
    assert width - 20 < width_of(made, 14) <= width


def test_wrapping_keeps_all_words_until_the_lines_run_out():
    text = "one two three four five six seven eight"
    assert " ".join(wrapped(text, 100, 12, lines=9)) == text
    two = wrapped(text, 100, 12, lines=2)
    assert len(two) == 2
    assert two[1].endswith("…")
    assert all(width_of(line, 12) <= 100 for line in two)
    assert wrapped("", 100, 12) == []


def test_characters_without_a_glyph_become_boxes_and_controls_go():
    assert drawable("a\U0010fffdb") == "a□b"
    assert drawable(" a\tb\n c\x00\u200d ") == "a b c"
    assert drawable("e\u0301") == "é"


@pytest.mark.parametrize(
    ("probability", "told"),
    [(1.0, "100 %"), (0.99999, "> 99.9 %"), (0.8716, "87.2 %"), (0.004, "0.4 %"), (1e-9, "< 0.1 %"), (0.0, "0.0 %"),
     (float("nan"), "–")],
)  # fmt: skip
def test_probabilities_are_told_as_people_read_them(probability, told):
    assert percent(probability) == told
