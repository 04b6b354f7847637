"""What was put into a run's folder before it started, kept beside the run: an agent that returns reads it."""

from __future__ import annotations

from pathlib import Path

import msgspec

# Of a resource that an overlay shows: it was edited if the overlay keeps something of that name.
SHOWN = -1


class Placed(msgspec.Struct, frozen=True):
    """A resource as it was when it was put there: what differs from this at the end was edited."""

    size: int
    changed_ns: int  # ctime: no instance can set it back
    etag: str


class Manifest(msgspec.Struct, omit_defaults=True):
    """The story of a run's resources."""

    placed: dict[str, Placed] = {}
    notes: list[str] = []
    version: int = 0  # how often the user had pushed resources
    microseconds: int = 0  # how long it took to get them, and the image
    tree: str = ""  # what an overlay shows, in the cache
    # What is being pushed: until that is over a file may be either what it was or this.
    pushing: dict[str, Placed] = {}

    def stories(self, path: str) -> list[Placed]:
        """Return how a file may look without having been edited."""
        return [told[path] for told in (self.placed, self.pushing) if path in told]


_DECODER = msgspec.json.Decoder(Manifest)


def write_manifest(folder: str, manifest: Manifest) -> None:
    """Keep a manifest, whole at any moment."""
    part = Path(folder, "resources.part")
    part.write_bytes(msgspec.json.encode(manifest))
    part.rename(Path(folder, "resources"))


def read_manifest(folder: str) -> Manifest | None:
    """Read what `write_manifest` kept; None when the run had no resources."""
    try:
        data = Path(folder, "resources").read_bytes()
    except FileNotFoundError:
        return None
    return _DECODER.decode(data)
