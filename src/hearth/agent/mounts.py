"""Overlays: a folder that shows another one, and keeps for itself what is changed in it."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

_NOSUID, _NODEV = 2, 4
_DETACH, _NOFOLLOW = 2, 8
_OCTAL = re.compile(rb"\\([0-7]{3})")
# Folders may be moved as in any other file system; a file is copied whole before it is changed.
_OPTIONS = "redirect_dir=on,index=off,metacopy=off,xino=off"
# What a folder that was moved carries: what shows in it may never have been below its new name.
MOVED = "trusted.overlay.redirect"


class Mounts:
    """The overlays of one node: each on a folder below its root."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def overlay(self, lower: Path, upper: Path, work: Path, target: Path) -> None:
        """Show at `target` what is in `lower`; what is changed there goes to `upper`."""
        options = f"lowerdir={lower},upperdir={upper},workdir={work},{_OPTIONS}"
        flags = ctypes.c_ulong(_NOSUID | _NODEV)
        if self._libc.mount(b"overlay", os.fsencode(target), b"overlay", flags, options.encode()) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(target))

    def remove(self, target: str | os.PathLike[str]) -> None:
        """Take an overlay away, also from whoever still looks at it; nothing happens where there is none."""
        self._libc.umount2(os.fsencode(target), ctypes.c_int(_DETACH | _NOFOLLOW))

    def below(self, root: Path) -> list[str]:
        """Return where something is mounted below a folder, the innermost first."""
        inside = os.fsencode(os.path.realpath(root)) + b"/"
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
        places = (_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), line.split()[4]) for line in lines)
        return [os.fsdecode(place) for place in sorted(places, key=len, reverse=True) if place.startswith(inside)]

    def clean(self, root: Path, keep: Collection[str] = ()) -> int:
        """Remove what is mounted below a folder but for `keep`; return how many there were."""
        kept = {os.path.realpath(path) for path in keep}
        unwanted = [place for place in self.below(root) if place not in kept]
        for place in unwanted:
            self.remove(place)
        return len(unwanted)

    def why_not(self, root: Path) -> str | None:
        """Try an overlay in a folder; return why they cannot be used there, or None."""
        if os.geteuid() != 0:
            return "overlays need root"
        if re.search(r"[,:\\]", str(root)):
            return "overlays need a data directory without ',', ':' and '\\' in its path"
        place = root / "overlay-probe"
        self.remove(place / "shown")
        shutil.rmtree(place, ignore_errors=True)
        try:
            folders = {name: place / name for name in ("lower", "upper", "work", "shown")}
            for folder in folders.values():
                folder.mkdir(parents=True)
            (folders["lower"] / "folder").mkdir()
            (folders["lower"] / "folder/file").write_text("lower")
            self.overlay(folders["lower"], folders["upper"], folders["work"], folders["shown"])
            try:
                with (folders["shown"] / "folder/file").open("a") as file:
                    file.write(" and upper")
                (folders["shown"] / "folder").rename(folders["shown"] / "moved")
                shown = (folders["shown"] / "moved/file").read_text()
                below = (folders["lower"] / "folder/file").read_text()
                return None if (shown, below) == ("lower and upper", "lower") else "overlays change what they show"
            finally:
                self.remove(folders["shown"])
        except OSError as error:
            return f"an overlay could not be made: {error}"
        finally:
            shutil.rmtree(place, ignore_errors=True)
