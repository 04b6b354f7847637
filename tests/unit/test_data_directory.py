"""Making a data directory, and finding one that was begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth import data_directory
from hearth.data_directory import open_directory
from hearth.domain.errors import Invalid


def test_a_directory_is_made_once_and_found_again(tmp_path: Path):
    made = open_directory(tmp_path / "data")
    secrets = (made.site_id, made.node_token.read_text())
    found = open_directory(tmp_path / "data")
    assert (found.site_id, found.node_token.read_text()) == secrets
    assert found.node_token.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("killed_at", ["site-id", "node.token", "FORMAT"])
def test_a_start_that_was_killed_while_it_made_the_directory_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
):
    write = data_directory._write_once

    def dies(path: Path, text: str) -> None:
        if path.name == killed_at:
            path.with_name(path.name + ".part").write_text("ha")
            raise KeyboardInterrupt
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(data_directory, "_write_once", dies)
        with pytest.raises(KeyboardInterrupt):
            open_directory(tmp_path)
    assert open_directory(tmp_path).site_id


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(Invalid, match="not empty and no data directory"):
        open_directory(tmp_path)


def test_a_directory_of_another_format_is_refused(tmp_path: Path):
    open_directory(tmp_path)
    (tmp_path / "FORMAT").write_text("99\n")
    with pytest.raises(Invalid, match="has format 99"):
        open_directory(tmp_path)
