"""Output as it is told: every byte once, in order, in pieces that readers can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.agent.tail import HOLD_SECONDS, KEPT_BYTES, PIECE_BYTES, RELEASE_BYTES, Tails

KEY = (1, 0, 1)
MUCH = 1 << 20


class Told:
    """What was told of one run."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, int, bytes]] = []
        self.skipped = 0

    def __call__(self, key: tuple[int, int, int], stream: int, offset: int, data: bytes, skipped: int) -> None:
        assert key == KEY
        assert data
        self.pieces.append((stream, offset, data))
        self.skipped += skipped

    def of(self, stream: int) -> bytes:
        """The stream as it was told; pieces must join on."""
        whole = b""
        for _, offset, data in (piece for piece in self.pieces if piece[0] == stream):
            assert offset == len(whole)
            whole += data
        assert not self.skipped
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


LIMIT = 1 << 20


@pytest.fixture
def limited(told: Told, tmp_path: Path) -> Tails:
    """Tails of a run of whose output the server keeps the newest MiB."""
    (tmp_path / "stderr").touch()
    (tmp_path / "stdout").touch()
    tails = Tails(told)
    tails.add(KEY, str(tmp_path / "stdout"), str(tmp_path / "stderr"), LIMIT)
    return tails


def blocks(path: Path) -> int:
    """How many bytes of disk a file takes."""
    return path.stat().st_blocks * 512


def test_output_that_the_server_would_drop_again_is_skipped_from_line_to_line(
    limited: Tails, told: Told, tmp_path: Path
):
    lines = [b"line %07d\n" % number for number in range(200_000)]
    write(tmp_path, b"".join(lines[:1000]))
    limited.poll(KEY, 0.0, at_most=MUCH)
    assert (told.of(0), limited.notes(KEY)) == (b"".join(lines[:1000]), [])
    write(tmp_path, b"".join(lines[1000:]))
    while limited.poll(KEY, 1.0, at_most=MUCH, flush=True):
        pass
    whole = b"".join(lines)
    begin = 1000 * 13 + told.skipped
    late = b"".join(data for _, offset, data in told.pieces if offset >= begin)
    assert late == whole[begin:], "what is told again begins with a line and lacks nothing"
    assert LIMIT <= len(late) <= LIMIT + 2 * PIECE_BYTES, "and it is all that the server keeps, and little more"
    assert whole[begin - 1 : begin] == b"\n"
    assert limited.notes(KEY) == [f"stdout has {len(whole)} bytes, and the newest {LIMIT} of them are kept"]


def test_a_gap_ends_between_characters_where_no_line_is_near(limited: Tails, told: Told, tmp_path: Path):
    data = ("x" + "€" * 800_000).encode()
    write(tmp_path, data)
    while limited.poll(KEY, 0.0, at_most=MUCH, flush=True):
        pass
    late = b"".join(piece for _, _, piece in told.pieces)
    assert set(late.decode()) == {"€"}
    assert len(late) + told.skipped == len(data)


def test_a_run_that_writes_for_ever_does_not_fill_the_disk(limited: Tails, told: Told, tmp_path: Path):
    block = b"much\n" * (MUCH // 5)
    most = 0
    for _ in range(200):
        write(tmp_path, block)
        limited.trim(KEY)  # as while the server is away
        most = max(most, blocks(tmp_path / "stdout"))
    assert (tmp_path / "stdout").stat().st_size == 200 * len(block)
    assert most <= RELEASE_BYTES + 4 * LIMIT


def test_what_the_server_has_is_given_back_to_the_disk(tails: Tails, told: Told, tmp_path: Path):
    data = b"much\n" * (2 * RELEASE_BYTES // 5)
    write(tmp_path, data)
    while tails.poll(KEY, 0.0, at_most=MUCH):
        pass
    before = blocks(tmp_path / "stdout")
    tails.acknowledged(KEY, 0, RELEASE_BYTES // 2)
    assert blocks(tmp_path / "stdout") == before, "not for a little"
    tails.acknowledged(KEY, 0, len(data))
    assert blocks(tmp_path / "stdout") <= 2 * KEPT_BYTES
    write(tmp_path, b"end\n")
    tails.poll(KEY, 0.0, at_most=MUCH)
    assert told.of(0) == data + b"end\n"
    tails.acknowledged((9, 9, 9), 0, 1)


def test_an_agent_that_returns_goes_on_behind_what_was_given_back(limited: Tails, told: Told, tmp_path: Path):
    for _ in range(20):
        write(tmp_path, b"line\n" * (MUCH // 5))
        limited.trim(KEY)
    again = Told()
    tails = Tails(again)
    tails.add(KEY, str(tmp_path / "stdout"), str(tmp_path / "stderr"))
    tails.rewind(KEY, 5, 0, LIMIT * 100)
    while tails.poll(KEY, 0.0, at_most=MUCH, flush=True):
        pass
    late = b"".join(data for _, _, data in again.pieces)
    assert 5 + again.skipped + len(late) == (tmp_path / "stdout").stat().st_size
    assert late.count(b"line\n") * 5 == len(late)
    assert len(late) >= LIMIT


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
