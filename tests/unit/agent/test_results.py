"""Which files are results: created or edited, let through, the run's own, and not too many."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import pytest

from hearth.agent import results
from hearth.agent.folders import remove
from hearth.agent.manifest import Manifest, Placed
from hearth.agent.results import MEBIBYTE, BadFilter, TooMany, select
from tests.unit.agent.test_folders import nest


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def write(job: Path, *paths: str, text: str = "x") -> None:
    for path in paths:
        (job / path).parent.mkdir(parents=True, exist_ok=True)
        (job / path).write_text(text)


def chosen(job: Path, whitelist: str = "", blacklist: str = "", **placed: Placed) -> list[str]:
    return list(select(job, Manifest(placed), whitelist, blacklist).files)


def as_placed(file: Path, etag: str) -> Placed:
    info = file.stat()
    return Placed(info.st_size, info.st_ctime_ns, etag)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def etag_in_parts(data: bytes, part_bytes: int) -> str:
    parts = [hashlib.md5(data[at : at + part_bytes]).digest() for at in range(0, len(data), part_bytes)]
    return f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"


def test_every_file_that_was_created_is_a_result_under_its_relative_path(job: Path):
    write(job, "b", "a", "deep/er/file", ".hidden")
    (job / "empty").mkdir()
    selection = select(job, None, "", "")
    assert selection.files == {path: job / path for path in [".hidden", "a", "b", "deep/er/file"]}
    assert selection.notes == []


def test_the_filters_search_in_the_path_and_the_blacklist_wins(job: Path):
    write(job, "out/a.txt", "out/b.log", "in/a.txt")
    assert chosen(job, whitelist="^out/") == ["out/a.txt", "out/b.log"]
    assert chosen(job, blacklist=r"\.log$") == ["in/a.txt", "out/a.txt"]
    assert chosen(job, whitelist="^out/", blacklist="b") == ["out/a.txt"]


def test_a_resource_that_was_not_touched_is_no_result(job: Path):
    write(job, "input", "output")
    assert chosen(job, input=as_placed(job / "input", "unknown-9")) == ["output"]


def test_a_resource_that_was_edited_is_a_result(job: Path):
    write(job, "input", text="before")
    before = as_placed(job / "input", md5(b"before"))
    write(job, "input", text="edited")
    assert chosen(job, input=Placed(before.size, 0, before.etag)) == ["input"]
    write(job, "input", text="longer than before")
    assert chosen(job, input=before) == ["input"]


@pytest.mark.parametrize(
    ("size", "part_mebibytes"),
    [(0, None), *itertools.product([5, MEBIBYTE, 20 * MEBIBYTE + 1], [None, 5, 8, 16])],  # nothing has no parts
)
def test_a_resource_that_only_changed_owner_or_mode_is_no_result_however_it_was_uploaded(
    job: Path, size: int, part_mebibytes: int | None
):
    data = os.urandom(size)
    (job / "input").write_bytes(data)
    etag = md5(data) if part_mebibytes is None else etag_in_parts(data, part_mebibytes * MEBIBYTE)
    assert chosen(job, input=Placed(size, 0, etag)) == []
    other = etag[:-1] + ("1" if etag[-1] == "0" else "0")
    assert chosen(job, input=Placed(size, 0, other)) == ["input"]


def test_a_link_counts_as_the_file_of_the_run_that_it_points_to(job: Path):
    write(job, "data/file")
    (job / "link").symlink_to("data/file")
    (job / "chain").symlink_to("link")
    assert select(job, None, "", "").files == dict.fromkeys(["chain", "data/file", "link"], job / "data/file")


def test_what_lies_outside_is_never_read_whatever_links_there_are(job: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "job-of-another").mkdir()
    (tmp_path / "job-of-another" / "file").write_text("secret")
    (job / "up").symlink_to("../secret")
    (job / "absolute").symlink_to(tmp_path / "secret")
    (job / "beside").symlink_to("../job-of-another/file")
    (job / "folder").symlink_to("..")
    (job / "loop").symlink_to("loop")
    (job / "nowhere").symlink_to("missing")
    selection = select(job, None, "", "")
    assert selection.files == {}
    assert sorted(selection.notes) == [
        f"the link '{name}' was left out: it points outside the working folder"
        for name in ("absolute", "beside", "folder", "up")
    ]


def test_chains_of_links_are_followed_as_far_as_the_system_does(job: Path):
    write(job, "link0")
    for number in range(1, 3000):
        (job / f"link{number}").symlink_to(f"link{number - 1}")
    assert "link20" in chosen(job, whitelist="^link20$|^link2999$")
    assert chosen(job, whitelist="^link2999$") == []


def test_pipes_and_sockets_are_no_results(job: Path):
    os.mkfifo(job / "pipe")
    assert chosen(job) == []


def test_names_that_no_object_can_have_are_left_out_with_a_note(job: Path):
    write(job, "good")
    Path(os.fsdecode(os.fsencode(job) + b"/bad\xff")).write_text("x")
    long = "/".join(["f" * 250] * 5)
    write(job, long)
    selection = select(job, None, "", "")
    assert list(selection.files) == ["good"]
    [short, other] = sorted(selection.notes, key=len)
    assert short == "the file 'bad\\udcff' was left out: its name is not UTF-8"
    assert other.endswith("its path has 1254 bytes, at most 1024 can be")


def test_folders_deeper_than_any_path_do_not_hide_the_other_files(job: Path):
    write(job, "good")
    nest(job, 3000)
    try:
        selection = select(job, None, "", "")
    finally:
        remove(str(job))  # pytest cannot
    assert list(selection.files) == ["good"]
    assert selection.notes[0].endswith("was left out: File name too long")


def test_there_are_never_more_notes_than_people_read(job: Path):
    for number in range(results.NOTES_LIMIT + 5):
        (job / f"link{number}").symlink_to("/etc/passwd")
    notes = select(job, None, "", "").notes
    assert len(notes) == results.NOTES_LIMIT + 1
    assert notes[-1] == "5 more were left out"


def test_too_many_files_are_refused(job: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(results, "FILES_LIMIT", 3)
    write(job, "a", "b", "c")
    assert chosen(job) == ["a", "b", "c"]
    write(job, "d")
    assert chosen(job, whitelist="[abc]") == ["a", "b", "c"]
    with pytest.raises(TooMany, match="4 result files or more are too many"):
        chosen(job)


def test_names_that_are_too_long_together_are_refused(job: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(results, "PATHS_LIMIT_BYTES", 30)
    write(job, "a" * 20, "b" * 20)
    with pytest.raises(TooMany):
        chosen(job)


@pytest.mark.parametrize("pattern", ["(", "*", "[z-a]", "(" * 4000 + ")" * 4000, "(?P<1>x)"])
def test_what_is_no_pattern_is_refused_by_name(job: Path, pattern: str):
    with pytest.raises(BadFilter, match=r"resultsBlacklist .* is not a regular expression"):
        chosen(job, blacklist=pattern)


def test_a_very_long_pattern_is_refused(job: Path):
    with pytest.raises(BadFilter, match="too large: its counted repetitions come to 1000000 together"):
        chosen(job, whitelist="((a{100}){100}){100}")
    with pytest.raises(BadFilter, match="resultsWhitelist has 10001 characters, at most 10000"):
        chosen(job, whitelist="a" * 10_001)


def test_a_pattern_that_takes_for_ever_is_refused(job: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(results, "MATCH_SECONDS", 0.05)
    write(job, "a" * 200)
    with pytest.raises(BadFilter, match="takes too long"):
        chosen(job, whitelist="(.*a){25}x")


def test_all_paths_together_have_a_time_limit_too(job: Path, monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr("hearth.agent.results.time.monotonic", lambda: float(next(clock)))
    write(job, *("a" * 120 + f"{number}" for number in range(5)))
    with pytest.raises(BadFilter, match="30 s for all"):
        chosen(job, whitelist="(.*a){3}x")
