"""What agent and spawner say to each other, and the frames it travels in.

A frame is four bytes of length (big endian) and a msgpack list of messages. Both sides put all that they
have to say at one moment into one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

PROTOCOL: Final = 1
MAX_FRAME_BYTES: Final = 256 * 1024 * 1024


class BrokenFrame(ValueError):
    """The other side sent something that is no frame of this protocol."""


class Limits(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a run may use, held by a cgroup."""

    cores: float
    memory_bytes: int  # 0: no limit
    pids: int  # 0: no limit


class Hello(msgspec.Struct, array_like=True, tag=1, frozen=True, gc=False):
    """First word of an agent: which runtime speaks; it hears of the runs of this name only."""

    protocol: int
    owner: str


class Start(msgspec.Struct, array_like=True, tag=2, frozen=True, gc=False):
    """Start one run; a key that is known already is left as it is."""

    key: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    stdout: str
    stderr: str
    limits: Limits | None = None
    inputs: tuple[bytes, ...] = ()  # the command reads them at descriptors 3, 4, ...
    report: bool = False  # what the command writes to the descriptor after these comes back in `Ended.report`


class Stop(msgspec.Struct, array_like=True, tag=3, frozen=True, gc=False):
    """Kill a run with all its children."""

    key: str


class Forget(msgspec.Struct, array_like=True, tag=4, frozen=True, gc=False):
    """Drop the statuses of ended runs."""

    keys: tuple[str, ...]


class Renew(msgspec.Struct, array_like=True, tag=5, frozen=True, gc=False):
    """Every run of this agent's runtime may go on until then; those that are still there are killed."""

    until: float | None  # seconds of CLOCK_BOOTTIME; None: no end


class Started(msgspec.Struct, array_like=True, tag=11, frozen=True, gc=False):
    """The command runs under this process id."""

    key: str
    pid: int
    at: int


class Ended(msgspec.Struct, array_like=True, tag=12, frozen=True, gc=False):
    """The command and all that it left behind are gone."""

    key: str
    pid: int
    at: int
    started_at: int
    exit_code: int
    cpu_microseconds: int
    peak_memory_bytes: int
    out_of_memory: bool = False
    report: bytes = b""


class Refused(msgspec.Struct, array_like=True, tag=13, frozen=True, gc=False):
    """The command cannot be started, and it is the user's to mend."""

    key: str
    at: int
    exit_code: int
    code: str
    message: str


class Lost(msgspec.Struct, array_like=True, tag=14, frozen=True, gc=False):
    """The run could not be started or kept for a reason that is not the user's."""

    key: str
    at: int
    message: str


Event = Started | Ended | Refused | Lost
Outcome = Ended | Refused | Lost


class Welcome(msgspec.Struct, array_like=True, tag=10, frozen=True, gc=False):
    """The answer to `Hello`: who serves, and every run that is known (its last event)."""

    protocol: int
    boot: str
    pid: int
    limits: bool  # cgroups can be made
    details: str  # why not, or where
    cgroups: dict[str, str]  # controller -> the folder that holds one cgroup per run
    runs: tuple[Event, ...]
    takes_renew: bool = False  # spawners that an earlier release started do not


Command = Hello | Start | Stop | Forget | Renew
Answer = Welcome | Started | Ended | Refused | Lost

_encoder = msgspec.msgpack.Encoder()
_commands = msgspec.msgpack.Decoder(list[Command])
_answers = msgspec.msgpack.Decoder(list[Answer])


def encode(messages: Sequence[Command] | Sequence[Answer]) -> bytes:
    """Return one frame with these messages."""
    frame = bytearray(4)
    _encoder.encode_into(messages, frame, 4)
    frame[:4] = (len(frame) - 4).to_bytes(4, "big")
    return bytes(frame)


class Frames:
    """Cuts a stream of bytes into the payloads of frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads that are complete now."""
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        position = 0
        while len(buffer) - position >= 4:
            end = position + 4 + int.from_bytes(buffer[position : position + 4], "big")
            if end - position > MAX_FRAME_BYTES:
                raise BrokenFrame(f"a frame of {end - position} bytes; at most {MAX_FRAME_BYTES} are taken")
            if len(buffer) < end:
                break
            payloads.append(bytes(buffer[position + 4 : end]))
            position = end
        if position:
            del buffer[:position]
        return payloads


def decode_commands(payload: bytes) -> list[Command]:
    """Read what an agent sent."""
    try:
        return _commands.decode(payload)
    except msgspec.DecodeError as error:
        raise BrokenFrame(f"not a list of commands: {error}") from error


def decode_answers(payload: bytes) -> list[Answer]:
    """Read what a spawner sent."""
    try:
        return _answers.decode(payload)
    except msgspec.DecodeError as error:
        raise BrokenFrame(f"not a list of answers: {error}") from error
