"""The `sandbox` runtime: bubblewrap and cgroups, for machines without a container engine."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from hearth.agent.disk import is_fault
from hearth.agent.runtime.base import Exited, Found, Lost, Refused, RunSpec, Usage
from hearth.agent.runtime.sandbox_view import SHOWN_ETC, View, check_command, shown_folders
from hearth.agent.runtime.spawned import SpawnedRuntime, now_microseconds
from hearth.agent.spawner import messages
from hearth.agent.spawner.processes import FIRST_INPUT_DESCRIPTOR, CannotStart

RUN_UID: Final = 64_000  # an unprivileged user of nobody else; used when the agent is root
_OWN_PROCESSES: Final = 3  # of the sandbox itself: they count against the run's limit
_PATH_OF_TOOLS: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Variables that change what a program loads. Nothing may load what a run says before it has lost its rights.
_LOADER: Final = re.compile(
    r"(LD|GLIBC|MALLOC|GCONV|LIBC)_|(GETCONF_DIR|HOSTALIASES|LOCALDOMAIN|LOCPATH|NIS_PATH|NLSPATH|RESOLV_HOST_CONF"
    r"|RES_OPTIONS|TMPDIR|TZDIR)\Z"
)
_READ_ONLY_ROOTS: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/proc", "/dev")


class SandboxRuntime(SpawnedRuntime):
    """Runs commands in namespaces of their own, with the machine's programs read-only and one own folder.

    Started by root, runs are an unprivileged user and have limits; otherwise they are the agent's user and limits
    depend on whether cgroups may be made. A run with network shares the machine's. Its user cannot be chosen.
    """

    name = "sandbox"
    isolated = True

    def __init__(
        self,
        socket_path: Path,
        *,
        hidden: Sequence[Path] = (),
        clock: Callable[[], int] = now_microseconds,
    ) -> None:
        """`hidden` are folders that no run may see even if they lie below /usr, as the data directory."""
        super().__init__(socket_path, clock=clock)
        self._hidden = tuple(hidden)
        self._tools = _Tools()
        self._stderr: dict[str, Path] = {}

    @property
    def limits(self) -> bool:
        """Whether processor, memory and process limits are enforced here."""
        welcome = self._client.welcome
        return welcome is not None and welcome.limits

    @property
    def details(self) -> str:
        """Where the limits are kept, or why there are none."""
        welcome = self._client.welcome
        return "not connected to a spawner" if welcome is None else welcome.details

    async def open(self) -> list[Found]:
        """Connect to the spawner, and return every run that it still knows."""
        if self._tools.missing is not None:
            raise FileNotFoundError(self._tools.missing)
        return await super().open()

    async def usage(self, key: str) -> Usage:
        """Measure a running run now."""
        return self._measure_cgroup(key) or await super().usage(key)

    async def _command(self, spec: RunSpec) -> messages.Start | Refused | Lost:
        try:
            start = await asyncio.to_thread(self._build, spec)
        except CannotStart as refusal:
            return Refused(spec.key, self._clock(), refusal.exit_code, refusal.code, refusal.message)
        except OSError as error:
            message = f"the folder of the run could not be made ready: {error}"
            return Lost(spec.key, self._clock(), message, is_fault(error))
        self._stderr[spec.key] = spec.stderr
        return start

    def _build(self, spec: RunSpec) -> messages.Start:
        tools = self._tools
        mount_point = _inside(spec.mount_point, "mount point")
        working_directory = _inside(spec.working_directory or mount_point, "working directory")
        folders, links = shown_folders()
        words = _Words()
        words.isolate(spec)
        words.show_machine(folders, links, self._hidden, network=spec.network)
        words.identity(spec.hostname, tools.uid, tools.gid, mount_point)
        words.parents(mount_point)
        words.add("--bind", str(spec.directory), mount_point)
        _give(spec.directory, tools.uid, tools.gid)
        self._make_working_directory(words, spec, mount_point, working_directory)
        words.add("--remount-ro", "/", "--chdir", working_directory)
        view = View({**folders, mount_point: str(spec.directory)}, links, working_directory)
        check_command(spec.argv, spec.environment, view, tools.uid, tools.gid)
        late = {name: value for name, value in spec.environment.items() if tools.drops and _LOADER.match(name)}
        for name, value in spec.environment.items():
            if name not in late:
                words.add("--setenv", name, value)
        descriptor = FIRST_INPUT_DESCRIPTOR + len(words.files) + 1
        argv = [tools.bwrap, "--args", str(FIRST_INPUT_DESCRIPTOR), "--json-status-fd", str(descriptor), "--"]
        argv += tools.drop()
        if late:
            argv += ["/usr/bin/env", *(f"{name}={value}" for name, value in late.items())]
        return messages.Start(
            key=spec.key,
            argv=(*argv, *spec.argv),
            environment={"PATH": _PATH_OF_TOOLS},
            directory="/",
            stdout=str(spec.stdout),
            stderr=str(spec.stderr),
            limits=messages.Limits(spec.cores, spec.memory_bytes, spec.pids + _OWN_PROCESSES if spec.pids else 0),
            inputs=(words.arguments(), *words.files),
            report=True,
        )

    def _make_working_directory(self, words: _Words, spec: RunSpec, mount_point: str, path: str) -> None:
        if path == mount_point:
            return
        if _is_below(path, mount_point):
            made = spec.directory / PurePosixPath(path).relative_to(mount_point)
            try:
                inside = made.resolve().is_relative_to(spec.directory.resolve())
                if inside:
                    made.mkdir(parents=True, exist_ok=True)
                    _give(spec.directory, self._tools.uid, self._tools.gid)
            except OSError:
                inside = False
            if not inside:
                raise _bad_working_directory(path, "it is no folder of the run")
        elif _is_below(path, "/tmp"):
            words.parents(path)
            words.add("--perms", "0777", "--dir", path)
        elif any(path == root or _is_below(path, root) for root in _READ_ONLY_ROOTS):
            if not Path(path).is_dir():
                raise _bad_working_directory(path, "no such folder, and it cannot be made there")
        else:
            words.parents(path)
            words.add("--perms", "0777", "--tmpfs", path)

    def _exited(self, event: messages.Ended) -> Exited | Refused | Lost:
        stderr = self._stderr.pop(event.key, None)
        if event.exit_code < 128 and b'"exit-code"' not in event.report:
            # Bubblewrap tells an exit code only if the command was reached.
            said = _last_line(stderr)
            if said.startswith("bwrap: execvp "):
                return Refused(event.key, event.at, 127, "COMMAND_NOT_FOUND", f"command not found: {said[14:]}")
            return Lost(event.key, event.at, f"the sandbox could not be made: {said}")
        return super()._exited(event)


class _Tools:
    """The programs that make a sandbox, and who runs in it."""

    def __init__(self) -> None:
        self.drops = os.geteuid() == 0
        self.uid = RUN_UID if self.drops else os.getuid()
        self.gid = RUN_UID if self.drops else os.getgid()
        self.bwrap = shutil.which("bwrap", path=_PATH_OF_TOOLS) or ""
        self._setpriv = shutil.which("setpriv", path=_PATH_OF_TOOLS) or ""
        self.missing: str | None = None
        if not self.bwrap:
            self.missing = "bubblewrap is not installed (no bwrap in PATH; Debian: apt-get install bubblewrap)"
        elif self.drops and not self._setpriv:
            self.missing = "setpriv is not installed (Debian: apt-get install util-linux)"

    def drop(self) -> list[str]:
        """Return the words that turn root into the run's user."""
        if not self.drops:
            return []
        who = ["--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups"]
        return [self._setpriv, *who, "--inh-caps=-all", "--"]


class _Words:
    """The arguments of bubblewrap, and the files that it makes from what it is given."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._made = {"/tmp", *_READ_ONLY_ROOTS} - {"/etc"}
        self.files: list[bytes] = []

    def add(self, *words: str) -> None:
        self._words += words

    def parents(self, path: str) -> None:
        """Make the folders above a path, for everybody to pass; bubblewrap would keep them to root."""
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            if str(parent) not in self._made:
                self._made.add(str(parent))
                self.add("--perms", "0755", "--dir", str(parent))

    def file(self, path: str, content: str) -> None:
        """Make a small read-only file."""
        self.files.append(content.encode())
        self.add("--perms", "0444", "--file", str(FIRST_INPUT_DESCRIPTOR + len(self.files)), path)

    def arguments(self) -> bytes:
        return "".join(f"{word}\0" for word in self._words).encode()

    def isolate(self, spec: RunSpec) -> None:
        """Leave the namespaces and the rights of the machine."""
        self.add("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
        if not spec.network:
            self.add("--unshare-net")
        self.add("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv")
        if os.geteuid() == 0:
            self.add("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")  # gone with the change of user
        else:
            self.add("--unshare-user")

    def show_machine(
        self, folders: Mapping[str, str], links: Mapping[str, str], hidden: Sequence[Path], *, network: bool
    ) -> None:
        """Show the machine's programs read-only, and fresh system folders."""
        for inside, outside in folders.items():
            self.add("--ro-bind", outside, inside)
        for inside, target in links.items():
            self.add("--symlink", target, inside)
        self.add("--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm")
        self.add("--perms", "1777", "--tmpfs", "/tmp")
        self.parents("/etc/passwd")
        for path in (f"/etc/{name}" for name in SHOWN_ETC):
            if Path(path).exists():
                self.parents(path)
                self.add("--ro-bind-try", path, path)
        if network:
            self.add("--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf")
        for place in (str(folder.resolve()) for folder in hidden):
            if any(_is_below(place, root) for root in folders):
                self.add("--tmpfs", place)

    def identity(self, hostname: str, uid: int, gid: int, home: str) -> None:
        """Give the run a name of its own, and the users that it knows."""
        name = hostname or "sandbox"
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", name) or len(name) > 63:
            message = f"host name {name!r} is not valid: up to 63 letters, digits, '-' and '.'"
            raise CannotStart(125, "HOSTNAME_INVALID", message)
        self.add("--hostname", name)
        nobody = "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
        user = f"hearth:x:{uid}:{gid}:hearth:{home}:/bin/sh\n" if uid else ""
        group = f"hearth:x:{gid}:\n" if gid else ""
        self.file("/etc/passwd", f"root:x:0:0:root:/root:/bin/sh\n{user}{nobody}")
        self.file("/etc/group", f"root:x:0:\n{group}nogroup:x:65534:\n")
        self.file("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {name}\n")
        self.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")


def _inside(path: str, what: str) -> str:
    normal = os.path.normpath(path)
    if not path.startswith("/") or normal in ("/", "//"):
        code = "WORKING_DIRECTORY_INVALID" if what == "working directory" else "MOUNT_POINT_INVALID"
        raise CannotStart(125, code, f"{what} {path!r} is not valid: it must be an absolute path other than '/'")
    return normal


def _bad_working_directory(path: str, why: str) -> CannotStart:
    return CannotStart(125, "WORKING_DIRECTORY_INVALID", f"working directory {path!r} is not valid: {why}")


def _is_below(path: str, root: str) -> bool:
    return path.startswith(f"{root}/")


def _give(folder: Path, uid: int, gid: int) -> None:
    """Make the run's user the owner of its folder."""
    if uid == os.geteuid():
        return
    os.chown(folder, uid, gid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = f"{parent}/{name}"
            status = os.lstat(path)
            # A file with a second name belongs to someone else too: a run may read it, not change it.
            if status.st_uid != uid and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1):
                os.chown(path, uid, gid, follow_symlinks=False)


def _last_line(file: Path | None) -> str:
    if file is None:
        return "its error output tells why"
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 2000))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return "its error output is gone"
    return lines[-1] if lines else "it ended without a word"


def available() -> str | None:
    """Return why sandboxes cannot be made here; None when one could be made and left."""
    tools = _Tools()
    if tools.missing is not None:
        return tools.missing
    words = _Words()
    words.isolate(RunSpec("", (), {}, Path("/"), Path("/"), Path("/")))
    words.show_machine(*shown_folders(), (), network=False)
    words.add("--hostname", "sandbox")
    with tempfile.TemporaryFile() as source:
        source.write(words.arguments())
        source.flush()
        source.seek(0)
        command = [tools.bwrap, "--args", str(source.fileno()), "--", *tools.drop(), "/bin/true"]
        try:
            tried = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=10,
                pass_fds=(source.fileno(),),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"a sandbox could not be tried: {error}"
    if tried.returncode == 0:
        return None
    said = tried.stderr.decode(errors="replace").strip().splitlines()
    return f"a sandbox could not be made: {said[-1] if said else f'exit code {tried.returncode}'}"
