"""The data directory: what lies where, its format number, and who may use it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from hearth.domain.errors import Conflict, Invalid

FORMAT = "1"
# A Unix socket's path may have 107 bytes.
SOCKET_PATH_LIMIT = 100
# What may be there before the format is: what people put there, and what a start that was killed had made.
_BEFORE_FORMAT = {"hearth.toml", "profiles", "keys", "objects", "run", "log", "node", "site-id"}
_BEFORE_FORMAT |= {"site-id.part", "FORMAT.part"}


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The paths below one data directory."""

    root: Path

    @property
    def site_key(self) -> Path:
        """The key that seals tokens."""
        return self.root / "keys" / "site.key"

    @property
    def node_token(self) -> Path:
        """What nodes of this site show to the server."""
        return self.root / "keys" / "node.token"

    @property
    def configuration(self) -> Path:
        """A ready qarnot.conf for the first account."""
        return self.root / "qarnot.conf"

    @property
    def objects(self) -> Path:
        """Where blobs are."""
        return self.root / "objects"

    @property
    def profiles(self) -> Path:
        """The site's own profiles."""
        return self.root / "profiles"

    @property
    def node(self) -> Path:
        """What the local node keeps."""
        return self.root / "node"

    @property
    def run(self) -> Path:
        """Process ids, locks and where the doors are."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """What the processes of this directory log."""
        return self.root / "log"

    @property
    def doors(self) -> Path:
        """The URLs of the running server, as JSON; it exists while they are open."""
        return self.run / "server.json"

    @property
    def offer(self) -> Path:
        """What the local node runs with, as JSON; its agent writes it when it starts."""
        return self.run / "agent.json"

    @property
    def stuck(self) -> Path:
        """What waits and needs somebody's help, as JSON {sentence: kinds of tasks}; the running server writes it."""
        return self.run / "stuck.json"

    def pid_file(self, role: str) -> Path:
        """Where the process id of up, server, agent or spawner is."""
        return self.run / f"{role}.pid"

    @property
    def site_id(self) -> str:
        """The name that containers and control groups of this directory carry."""
        return (self.root / "site-id").read_text("ascii").strip()

    @property
    def spawner_socket(self) -> Path:
        """Where the spawner listens."""
        path = self.run / "spawner.sock"
        if len(os.fsencode(path.absolute())) <= SOCKET_PATH_LIMIT:
            return path.absolute()
        folder = Path(tempfile.gettempdir()) / f"hearth-{os.getuid()}-{self.site_id[:13]}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / "spawner.sock"


def open_directory(root: Path) -> DataDirectory:
    """Make the directory if need be; raise `Invalid` when it is not one of ours, or of another format."""
    directory = DataDirectory(root.absolute())
    marker = root / "FORMAT"
    if not marker.exists():
        if root.exists() and any(root.iterdir()):
            foreign = sorted(path.name for path in root.iterdir() if path.name not in _BEFORE_FORMAT)
            if foreign:
                raise Invalid("data", f"{root} is not empty and no data directory of Hearth; choose another")
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o711)  # runs of other users pass through to their own folder, and see nothing else
        for folder in (directory.site_key.parent, directory.objects, directory.run, directory.log):
            folder.mkdir(mode=0o700, exist_ok=True)
        directory.node.mkdir(mode=0o711, exist_ok=True)
        _write_once(root / "site-id", str(uuid.uuid4()))
        _write_once(directory.node_token, f"hearth_node_{secrets.token_urlsafe(32)}")
        _write_once(marker, FORMAT)
    found = marker.read_text("ascii").strip()
    if found != FORMAT:
        raise Invalid("data", f"{root} has format {found}, and this version of Hearth reads format {FORMAT}")
    return directory


def hold(directory: DataDirectory, role: str) -> int:
    """Be the only server, or the only agent, of this directory for as long as this process lives."""
    return be_the_only_one(
        directory.run / f"{role}.lock",
        f"data: {directory.root} has a running {role} already (process {{}}); end that one first, "
        "or choose another directory with --data",
    )


def be_the_only_one(path: Path, refusal: str) -> int:
    """Lock a file, write this process's number into it and return its descriptor, to be kept open.

    Raises Conflict when another process holds it: `refusal`, with that one's number in place of {}.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            raise Conflict(refusal.replace("{}", holder)) from None
        if _is_at(path, handle):
            break
        os.close(handle)  # its holder ended just now and took the file away
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def make_private(root: Path) -> None:
    """Let nobody else read the database: SQLite gives its other files the mode of the first."""
    database = root / "hearth.db"
    os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for path in (database, root / "hearth.db-wal", root / "hearth.db-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.chmod(0o600)


def _write_once(path: Path, text: str) -> None:
    """Write a small secret file, durably, unless it exists."""
    if path.exists():
        return
    part = path.with_name(path.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, text.encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
