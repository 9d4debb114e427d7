"""Files that are there as a whole or not at all, under names that nobody else can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rangebar_polars._files import local_path, temporary_path, whole_file, write_text

URLS = [
    "s3://bucket/bars",
    "S3://bucket/bars",
    "gs://b/x",
    "abfss://c@a.dfs.core.windows.net/x",
    "hf://datasets/x",
    "https://example.com/x",
    "file:///tmp/x",
    "file:/tmp/x",
    Path("s3://bucket/bars"),
    Path("file:///tmp/x"),
]


@pytest.mark.parametrize("url", URLS, ids=str)
def test_a_url_of_any_scheme_is_refused(url):
    with pytest.raises(ValueError, match=r"path must be a local path, got .*:/"):
        local_path(url)


@pytest.mark.parametrize(
    "path", ["bars", "./bars", "/tmp/a:b/c", "C:/bars", "C:\\bars", "a[1]", "x/s3:/y", "~other/x"]
)
def test_local_paths_stay_as_they_are(path):
    assert local_path(path) == Path(path)
    assert local_path(Path(path)) == Path(path)


def test_home_is_expanded_and_nothing_is_written_to_a_folder_named_tilde(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "expanduser", lambda self: tmp_path / str(self)[2:])
    assert local_path("~/bars") == tmp_path / "bars"


def test_what_is_not_a_path():
    with pytest.raises(ValueError, match="root must not be empty"):
        local_path("", "root")
    with pytest.raises(TypeError, match="path must be a str"):
        local_path(b"bars")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        local_path(3)  # type: ignore[arg-type]


def test_temporary_names_are_all_different_and_short_enough(tmp_path):
    final = tmp_path / ("币" * 80)
    names = {temporary_path(final).name for _ in range(1000)}
    assert len(names) == 1000
    assert str(os.getpid()) not in {name.split(".")[-2] for name in names}
    (tmp_path / names.pop()).write_text("fits")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    final = tmp_path / "x[1].txt"
    write_text(final, "old\r\n")
    assert final.read_bytes() == b"old\r\n"
    with pytest.raises(KeyError), whole_file(final) as temporary:  # noqa: PT012
        temporary.write_text("half")
        assert temporary.parent == tmp_path
        raise KeyError
    assert final.read_bytes() == b"old\r\n"
    write_text(final, "new")
    assert final.read_text() == "new"
    assert list(tmp_path.iterdir()) == [final]


def test_what_somebody_else_put_there_is_not_replaced(tmp_path):
    final = tmp_path / "part"
    with pytest.raises(FileExistsError), whole_file(final, replace=False) as temporary:  # noqa: PT012
        temporary.write_text("late")
        final.write_text("first")
    assert final.read_text() == "first"
    assert list(tmp_path.iterdir()) == [final]
