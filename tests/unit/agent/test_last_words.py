"""What a failed run wrote last, whole lines and no secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.agent.last_words import MOST_BYTES, last_words

SECRETS = {"QARNOT_SECRET__KEY": "hush-hush", "NAME": "ada"}


@pytest.fixture
def stderr(tmp_path: Path) -> Path:
    return tmp_path / "stderr"


def test_a_short_output_is_whole(stderr: Path):
    stderr.write_bytes(b"no such file: a.txt\ngiving up\n\n")
    assert last_words(stderr, {}) == "no such file: a.txt\ngiving up"


def test_of_a_long_one_the_last_whole_lines_are_kept(stderr: Path):
    lines = [f"line {number:04}" for number in range(1000)]
    stderr.write_text("\n".join(lines) + "\n")
    assert last_words(stderr, {}) == "\n".join(lines[-(MOST_BYTES // 10 - 1) :])


def test_one_long_line_is_cut(stderr: Path):
    stderr.write_bytes(b"x" * 2000)
    assert last_words(stderr, {}) == "x" * MOST_BYTES


def test_a_secret_is_never_in_it(stderr: Path):
    stderr.write_bytes(b"key hush-hush of ada is refused")
    assert last_words(stderr, SECRETS) == "key [SECRET] of ada is refused"


@pytest.mark.parametrize("after", range(MOST_BYTES - 12, MOST_BYTES + 24))
def test_a_secret_that_would_be_cut_is_left_out(stderr: Path, after: int):
    stderr.write_bytes(b"y" * 2000 + b"hush-hush" + b"x" * after)
    said = last_words(stderr, SECRETS)
    assert set(said.replace("[SECRET]", "")) <= {"x", "y"}
    assert said.endswith("x" * (MOST_BYTES - 12))


def test_bytes_that_are_no_text_are_marked(stderr: Path):
    stderr.write_bytes(b"bad \xff byte \0")
    assert last_words(stderr, {}) == "bad \N{REPLACEMENT CHARACTER} byte \N{REPLACEMENT CHARACTER}"


def test_a_run_without_output_said_nothing(stderr: Path):
    assert last_words(stderr, {}) == ""
