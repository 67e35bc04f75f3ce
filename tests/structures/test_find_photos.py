"""Finding photos: files as given, folders as what they hold."""

import pytest

from pellucid.errors import PellucidError
from pellucid.structures import find_photos


def test_find_photos(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", ".hidden.png", ".git/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    given_paths = [tmp_path / "notes.txt", tmp_path / "missing.jpg", tmp_path]
    found = find_photos(given_paths)
    assert [str(p.relative_to(tmp_path)) for p in found] == ["notes.txt", "missing.jpg", "a.png", "b.JPG", "sub/c.webp"]
    assert find_photos([str(tmp_path / "a.png")] * 2) == [tmp_path / "a.png"] * 2
    assert find_photos([]) == []


def test_find_photos_refuses_empty_and_missing_folders(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(PellucidError) as caught:
        find_photos([tmp_path / "photos"])
    assert "holds no photo (looked for .jpg, " in str(caught.value)
    with pytest.raises(PellucidError) as caught:
        find_photos([tmp_path / "photo"])
    assert "did you mean 'photos'" in str(caught.value)
