"""Classes: found by name, synonym and index; what is unknown or ambiguous is refused with a hint."""

import pytest

from pellucid.errors import PellucidError
from pellucid.structures import Classes
from pellucid.structures.classes import unique_names

CLASSES = Classes(
    ("tabby", "crane (bird)", "crane (machine)", "7"), (("tabby cat",), ("crane",), ("crane", "lifter"), ())
)


@pytest.mark.parametrize(
    ("asked", "index"),
    [("tabby", 0), ("Tabby", 0), (" TABBY CAT ", 0), ("lifter", 2), (1, 1), ("1", 1), ("7", 3), ("crane (bird)", 1)],
)
def test_found_by_name_synonym_and_index(asked, index):
    assert CLASSES.index(asked) == index


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("crane", "ambiguous: 1 (crane (bird)), 2 (crane (machine))"),
        ("tabbi", "did you mean 'tabby'"),
        ("zebra crossing", "unknown class 'zebra crossing'"),
        (4, "0 to 3"),
        (-1, "0 to 3"),
        ("99", "0 to 3"),
        (True, "True"),
        (None, "None"),
        ("", "unknown"),
    ],
)
def test_what_is_not_found_is_refused(asked, said):
    with pytest.raises(PellucidError) as caught:
        CLASSES.index(asked)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_unique_and_synonyms_complete():
    with pytest.raises(PellucidError, match="'a' stands twice"):
        Classes(("a", "b", "a"))
    with pytest.raises(PellucidError, match="2 names but 1"):
        Classes(("a", "b"), (("c",),))


def test_unnamed_and_sequence():
    classes = Classes.unnamed(3)
    assert list(classes) == ["class 0", "class 1", "class 2"]
    assert (len(classes), classes[2], classes.index("class 1")) == (3, "class 2", 1)
    assert len(Classes(())) == 0


def test_names_become_unique():
    assert unique_names(["a", "b", "a", "a (2)", "a"], range(5)) == ("a", "b", "a (2)", "a (2) (3)", "a (4)")
    assert len(unique_names(["x"] * 20_000, range(20_000))) == 20_000
