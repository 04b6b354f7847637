"""Starts a command, and says in words why it could not be started."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat

from hearth.agent.spawner import procfs
from hearth.agent.spawner.messages import Start

FIRST_INPUT_DESCRIPTOR = 3

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Joins every cgroup, then becomes the command: nothing of the run is ever outside of its limits.
_JOIN = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 > "$1" || exit 125; shift; n=$((n-1)); done; exec "$@"'
_NULL = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
# What Python or `nohup` ignores must not be ignored by runs.
_DEFAULTED = tuple(number for number in range(1, 32) if number not in (signal.SIGKILL, signal.SIGSTOP))
_FIRST_SPARE_DESCRIPTOR = 64


class CannotStart(Exception):
    """The user's command cannot be started."""

    def __init__(self, exit_code: int, code: str, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.message = message


def find_command(name: str, environment: dict[str, str]) -> str:
    """Return the path of a command, looked up as a shell with this environment in this folder would."""
    if not name:
        raise CannotStart(127, "COMMAND_NOT_FOUND", "the command is empty: it must name a program")
    if "/" in name:
        return name
    found = ""
    path = environment.get("PATH", _DEFAULT_PATH)
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        try:
            mode = os.stat(candidate).st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(mode):
            if mode & 0o111:
                return candidate
            found = found or candidate
    if found:
        raise not_executable(found)
    raise CannotStart(127, "COMMAND_NOT_FOUND", f"command not found: {name!r} is in no folder of PATH ({path})")


def not_executable(path: str) -> CannotStart:
    """Return the refusal for a file that nobody may execute."""
    message = f"command not executable: {path!r} is a folder, or lacks the right to execute it (chmod +x)"
    return CannotStart(126, "COMMAND_NOT_EXECUTABLE", message)


def bad_format(path: str) -> CannotStart:
    """Return the refusal for a file that the kernel cannot execute."""
    message = (
        f"command not executable: {path!r} is no program for this machine; a script needs a first line like #!/bin/sh"
    )
    return CannotStart(126, "COMMAND_NOT_EXECUTABLE", message)


def not_found(path: str, *, exists: bool) -> CannotStart:
    """Return the refusal for a path that does not exist, or whose interpreter does not."""
    if exists:
        message = f"command not found: {path!r} exists, but the interpreter that its first line names does not"
    else:
        message = f"command not found: no file {path!r} (relative paths start at the run's folder)"
    return CannotStart(127, "COMMAND_NOT_FOUND", message)


def start(command: Start, site: str, join: list[str]) -> tuple[int, int | None]:
    """Start a command in the current folder; return its process id and the descriptor of its report.

    `join` lists the files which put a process that writes to them into its cgroups. Raises `CannotStart` for
    what the user must mend, and `OSError` for what is wrong with this machine.
    """
    environment = {**command.environment, procfs.MARKER: f"{site}/{command.key}"}
    argv: tuple[str, ...] = command.argv
    path = find_command(argv[0] if argv else "", environment)
    if join:
        argv = ("/bin/sh", "-c", _JOIN, "sh", str(len(join)), *join, path, *argv[1:])
        path = "/bin/sh"
    actions: list[tuple[object, ...]] = [
        _NULL,
        (os.POSIX_SPAWN_OPEN, 1, command.stdout, _APPEND, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, command.stderr, _APPEND, 0o600),
    ]
    closing: list[int] = []
    report: int | None = None
    try:
        number = FIRST_INPUT_DESCRIPTOR
        for content in command.inputs:
            source = _memory_file(content)
            closing.append(source)
            actions.append((os.POSIX_SPAWN_DUP2, source, number))
            number += 1
        if command.report:
            report, sink = _pipe()
            closing.append(sink)
            actions.append((os.POSIX_SPAWN_DUP2, sink, number))
        try:
            pid = os.posix_spawn(
                path,
                argv,
                environment,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULTED,
            )
        except BaseException:
            if report is not None:
                closing.append(report)
            raise
        return pid, report
    except ValueError as error:
        raise CannotStart(125, "COMMAND_INVALID", f"the command or its environment is not valid: {error}") from error
    except OSError as error:
        refusal = _refusal(error, path, command)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        for descriptor in closing:
            os.close(descriptor)


def _refusal(error: OSError, path: str, command: Start) -> CannotStart | None:
    """Return the user's part of a failure; None when it is the machine's."""
    match error.errno:
        case errno.E2BIG:
            message = "the command and its environment are too large for this machine: about 2 MB fit, 128 kB per value"
            return CannotStart(126, "COMMAND_TOO_LARGE", message)
        case errno.ENOEXEC:
            return bad_format(path)
        case errno.ENOENT | errno.ENOTDIR | errno.EACCES | errno.ELOOP | errno.ENAMETOOLONG:
            for spool in (command.stdout, command.stderr):
                if not os.path.isdir(os.path.dirname(spool)) or not os.path.exists(spool):
                    return None  # the files, not the command
            if error.errno == errno.EACCES:
                return not_executable(path)
            return not_found(path, exists=os.path.exists(path))
    return None


def _memory_file(content: bytes) -> int:
    source = os.memfd_create("hearth", os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(source, view) :]
        os.lseek(source, 0, os.SEEK_SET)
        return _lift(source)
    finally:
        os.close(source)


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return _lift(reader), _lift(writer)
    finally:
        os.close(reader)
        os.close(writer)


def _lift(descriptor: int) -> int:
    """Return a copy out of the way of the numbers that the child gets."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_SPARE_DESCRIPTOR)
