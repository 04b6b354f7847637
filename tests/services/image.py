"""Container images made from the machine's static busybox, without any hub or engine."""

import gzip
import hashlib
import io
import json
import platform
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

_DOCKER = "application/vnd.docker"


@dataclass(frozen=True, slots=True)
class Image:
    """One layer of files and the configuration that goes with it."""

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    def layer(self) -> bytes:
        """Return the files as a tar archive."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name in self.folders:
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
                archive.addfile(entry)
            for name, content in self.files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content))
            for name, target in self.links.items():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
                archive.addfile(entry)
        return buffer.getvalue()


def busybox_image(busybox: Path, **config: Any) -> Image:
    """Return an image of a shell and the usual small programs."""
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    return Image(
        folders=("bin", "etc", "root", "tmp", "usr", "usr/bin", "var"),
        files={
            "bin/busybox": busybox.read_bytes(),
            "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
            "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
        },
        links={f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"},
        config={"Cmd": ["sh"], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], **config},
    )


def push(registry: httpx.Client, image: Image, name: str, *tags: str) -> None:
    """Put `image` into a registry as `name`, under each of `tags`."""
    layer = image.layer()
    # Level 1: the bytes travel over loopback only.
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    config = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hearth tests"}],
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{_DOCKER}.distribution.manifest.v2+json",
            "config": _described(config, f"{_DOCKER}.container.image.v1+json"),
            "layers": [_described(packed, f"{_DOCKER}.image.rootfs.diff.tar.gzip")],
        }
    ).encode()
    for blob in (packed, config):
        place = registry.post(f"/v2/{name}/blobs/uploads/").raise_for_status().headers["Location"]
        where = httpx.URL(place).copy_merge_params({"digest": _digest(blob)})
        registry.put(where, content=blob).raise_for_status()
    for tag in tags:
        headers = {"Content-Type": f"{_DOCKER}.distribution.manifest.v2+json"}
        registry.put(f"/v2/{name}/manifests/{tag}", content=manifest, headers=headers).raise_for_status()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _described(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(content), "digest": _digest(content)}


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
