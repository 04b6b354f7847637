"""Output as it is told: every byte once, in order, in pieces that readers can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.agent.tail import HOLD_SECONDS, PIECE_BYTES, Tails

KEY = (1, 0, 1)
MUCH = 1 << 20


class Told:
    """What was told of one run."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, int, bytes]] = []

    def __call__(self, key: tuple[int, int, int], stream: int, offset: int, data: bytes) -> None:
        assert key == KEY
        assert data
        self.pieces.append((stream, offset, data))

    def of(self, stream: int) -> bytes:
        """The stream as it was told; pieces must join on."""
        whole = b""
        for _, offset, data in (piece for piece in self.pieces if piece[0] == stream):
            assert offset == len(whole)
            whole += data
        return whole


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def tails(told: Told, tmp_path: Path) -> Tails:
    (tmp_path / "stdout").touch()
    (tmp_path / "stderr").touch()
    tails = Tails(told)
    tails.add(KEY, str(tmp_path / "stdout"), str(tmp_path / "stderr"))
    return tails


def write(folder: Path, data: bytes, name: str = "stdout") -> None:
    with (folder / name).open("ab") as file:
        file.write(data)


def test_whole_lines_are_told_at_once_and_the_rest_when_it_is_a_line(tails: Tails, told: Told, tmp_path: Path):
    write(tmp_path, b"one\ntwo\nthr")
    assert not tails.poll(KEY, 0.0, at_most=MUCH)
    assert told.pieces == [(0, 0, b"one\ntwo\n")]
    write(tmp_path, b"ee\n")
    tails.poll(KEY, 0.1, at_most=MUCH)
    assert told.pieces[1:] == [(0, 8, b"three\n")]


def test_both_streams_are_told_with_offsets_of_their_own(tails: Tails, told: Told, tmp_path: Path):
    write(tmp_path, b"out\n")
    write(tmp_path, b"error\n", "stderr")
    tails.poll(KEY, 0.0, at_most=MUCH)
    assert told.pieces == [(0, 0, b"out\n"), (1, 0, b"error\n")]


def test_a_line_that_is_not_finished_is_told_after_a_while(tails: Tails, told: Told, tmp_path: Path):
    write(tmp_path, b"working...")
    tails.poll(KEY, 5.0, at_most=MUCH)
    tails.poll(KEY, 5.0 + HOLD_SECONDS / 2, at_most=MUCH)
    assert told.pieces == []
    tails.poll(KEY, 5.0 + HOLD_SECONDS, at_most=MUCH)
    assert told.pieces == [(0, 0, b"working...")]


def test_the_wait_begins_anew_with_each_unfinished_line(tails: Tails, told: Told, tmp_path: Path):
    write(tmp_path, b"a")
    tails.poll(KEY, 0.0, at_most=MUCH)
    write(tmp_path, b"\nb")
    tails.poll(KEY, 0.9, at_most=MUCH)
    tails.poll(KEY, 0.9 + HOLD_SECONDS / 2, at_most=MUCH)
    assert told.pieces == [(0, 0, b"a\n")]


def test_a_character_is_never_cut_while_the_run_goes_on(tails: Tails, told: Told, tmp_path: Path):
    write(tmp_path, "über €".encode()[:-1])
    tails.poll(KEY, 0.0, at_most=MUCH)
    tails.poll(KEY, 10.0, at_most=MUCH)
    tails.poll(KEY, 20.0, at_most=MUCH)
    assert told.of(0) == "über ".encode()
    write(tmp_path, "€".encode()[-1:])
    tails.poll(KEY, 30.0, at_most=MUCH)
    assert told.of(0).decode() == "über €"


@pytest.mark.parametrize("data", [b"\xe2", b"text \xe2\x82", b"\xff\xfe\x80", b"\xf0\x9f\x98", b"no newline", b"\n"])
def test_the_end_of_a_run_tells_everything_whatever_the_bytes_are(
    tails: Tails, told: Told, tmp_path: Path, data: bytes
):
    write(tmp_path, data)
    assert not tails.poll(KEY, 0.0, at_most=MUCH, flush=True)
    assert told.of(0) == data


def test_long_output_comes_in_pieces_of_whole_characters(tails: Tails, told: Told, tmp_path: Path):
    data = ("x" + "€" * 100_000).encode()
    write(tmp_path, data)
    tails.poll(KEY, 0.0, at_most=MUCH)
    for _, _, piece in told.pieces:
        assert PIECE_BYTES - 4 < len(piece) <= PIECE_BYTES
        piece.decode()
    while tails.poll(KEY, 0.0, at_most=MUCH, flush=True):
        pass
    assert told.of(0) == data


@pytest.mark.parametrize("at_most", [4, 5, 7, 100_000])
def test_output_is_told_whole_however_little_is_read_at_once(tails: Tails, told: Told, tmp_path: Path, at_most: int):
    data = "aé€😀\n".encode() * 20 + b"\xff" * 5 + "€".encode() * 3
    write(tmp_path, data)
    more = True
    for _ in range(10 * len(data)):
        if not more:
            break
        more = tails.poll(KEY, 0.0, at_most=at_most, flush=True)
    assert told.of(0) == data


def test_more_than_was_read_at_once_is_said_to_be_there(tails: Tails, told: Told, tmp_path: Path):
    write(tmp_path, b"line\n" * 100_000)
    assert tails.poll(KEY, 0.0, at_most=200_000)
    assert len(told.of(0)) == 200_000


def test_reading_goes_on_from_where_the_servers_copy_ends(tails: Tails, told: Told, tmp_path: Path):
    write(tmp_path, b"known\nnew\n")
    write(tmp_path, b"errors\n", "stderr")
    tails.rewind(KEY, 6, 0)
    tails.poll(KEY, 0.0, at_most=MUCH)
    assert told.pieces == [(0, 6, b"new\n"), (1, 0, b"errors\n")]


def test_output_beyond_the_limit_is_not_read_but_counted(told: Told, tmp_path: Path):
    tails = Tails(told)
    tails.add(KEY, str(tmp_path / "stdout"), str(tmp_path / "stderr"), 10)
    write(tmp_path, b"123456\n")
    tails.poll(KEY, 0.0, at_most=MUCH)
    assert tails.notes(KEY) == []
    write(tmp_path, "€€€\n".encode())
    (tmp_path / "stderr").touch()
    with (tmp_path / "stdout").open("ab") as file:
        file.truncate(1 << 40)
    assert not tails.poll(KEY, 1.0, at_most=MUCH, flush=True)
    assert told.of(0) == "123456\n€".encode()
    assert tails.notes(KEY) == [f"stdout has {1 << 40} bytes, and the first 10 of them are kept"]


def test_a_limit_inside_a_character_ends_there(told: Told, tmp_path: Path):
    tails = Tails(told)
    tails.add(KEY, str(tmp_path / "stdout"), str(tmp_path / "stderr"), 2)
    write(tmp_path, "€€".encode())
    assert not tails.poll(KEY, 0.0, at_most=MUCH, flush=True)
    assert told.of(0) == "€".encode()[:2]


def test_a_file_that_is_not_there_or_became_shorter_is_nothing_new(tails: Tails, told: Told, tmp_path: Path):
    write(tmp_path, b"line\n")
    tails.poll(KEY, 0.0, at_most=MUCH)
    (tmp_path / "stdout").write_bytes(b"x\n")
    (tmp_path / "stderr").unlink()
    assert not tails.poll(KEY, 5.0, at_most=MUCH, flush=True)
    assert told.pieces == [(0, 0, b"line\n")]


def test_a_run_that_is_not_followed_has_nothing_to_tell(tails: Tails, told: Told, tmp_path: Path):
    assert tails.followed() == [KEY]
    tails.drop(KEY)
    write(tmp_path, b"line\n")
    assert not tails.poll(KEY, 0.0, at_most=MUCH, flush=True)
    assert tails.followed() == tails.notes(KEY) == told.pieces == []
