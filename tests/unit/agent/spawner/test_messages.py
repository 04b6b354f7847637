"""Frames: any cut of the stream gives the same messages, and nonsense is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.agent.spawner.messages import (
    BrokenFrame,
    Command,
    Ended,
    Event,
    Forget,
    Frames,
    Hello,
    Limits,
    Lost,
    Refused,
    Start,
    Started,
    Stop,
    Welcome,
    decode_answers,
    decode_commands,
    encode,
)

START = Start("k", ("a", "b"), {"A": "é"}, "/d", "/o", "/e", Limits(0.5, 10, 20), (b"\0x", b""), True)
ENDED = Ended("k", 7, 3, 2, 137, 50, 60, True, b"{}")
EVENTS: tuple[Event, ...] = (Started("k", 7, 2), ENDED, Refused("r", 1, 127, "C", "m"), Lost("l", 1, "m"))


def test_commands_arrive_as_they_were_sent() -> None:
    commands: list[Command] = [Hello(1, "process"), START, Stop("k"), Forget(("a", "b"))]
    [payload] = Frames().feed(encode(commands))
    assert decode_commands(payload) == commands


def test_answers_arrive_as_they_were_sent() -> None:
    answers = [Welcome(1, "boot", 5, True, "here", {"cpu": "/x"}, EVENTS), *EVENTS]
    [payload] = Frames().feed(encode(list(answers)))
    assert decode_answers(payload) == answers


@given(st.lists(st.lists(st.text()), max_size=5), st.lists(st.integers(1, 9), min_size=1))
def test_any_cut_of_the_stream_gives_the_same_messages(batches: list[list[str]], sizes: list[int]) -> None:
    sent = [[Stop(key) for key in batch] for batch in batches]
    stream = b"".join(encode(list(batch)) for batch in sent)
    frames, got, turn = Frames(), [], 0
    while stream:
        size = sizes[turn % len(sizes)]
        got += [decode_commands(payload) for payload in frames.feed(stream[:size])]
        stream, turn = stream[size:], turn + 1
    assert got == sent


def test_a_frame_of_absurd_size_is_refused() -> None:
    with pytest.raises(BrokenFrame, match="at most"):
        Frames().feed(b"\xff\xff\xff\xff")


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\xc1", b"\x91\x91\x63", b"\x91\x92\x02\x01"])
def test_what_is_no_list_of_commands_is_refused(payload: bytes) -> None:
    with pytest.raises(BrokenFrame):
        decode_commands(payload)
