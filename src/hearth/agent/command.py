"""Turn a task's constants into what a runtime starts (contract: platform semantics 1.2 to 1.4)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from hearth.agent.attempt import Key
from hearth.agent.folders import Folders, key_text
from hearth.agent.runtime.base import Image, RunSpec, Runtime
from hearth.domain.command import SECRET_PREFIX, environment, words
from hearth.domain.errors import Invalid
from hearth.wire.agent import Work

MOUNT_POINT = "/job"
HUB = {"registry-1.docker.io", "index.docker.io", "docker.io", ""}
# What a command finds where no image says it.
PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run_spec(work: Work, key: Key, folders: Folders, runtime: Runtime) -> RunSpec:
    """Return what to start; raise `Invalid` when the constants do not make a command."""
    job = folders.job(key)
    directory = str(job) if runtime.name == "process" else MOUNT_POINT
    values = environment(work.constants, number=key[1], total=work.total, directory=directory, platform=work.platform)
    values.setdefault("TMP_PATH", "/tmp")
    values.setdefault("TMP_RAMFS_PATH", "/dev/shm")
    image = image_of(values, work.default_image) if runtime.takes_images else None
    if image is None:
        values.setdefault("PATH", PLAIN_PATH)
        values.setdefault("HOME", directory)
    try:
        argv = words(values.get("DOCKER_CMD", ""))
    except Invalid:
        # Not the expanded text, which may have secrets in it.
        told = work.constants.get("DOCKER_CMD", "")[:200]
        raise Invalid(
            "DOCKER_CMD",
            f"a quotation or escape is not closed in {told!r}, or in what its references stand for; close it, "
            "or escape the mark with \\",
        ) from None
    if not argv and image is None:
        raise Invalid("DOCKER_CMD", "it is empty, and there is no image whose own command could run; set it")
    inner = {name for hidden in work.unexported for name in (hidden, hidden.removeprefix(SECRET_PREFIX))}
    return RunSpec(
        key=key_text(key),
        argv=argv,
        environment={name: value for name, value in values.items() if name not in inner},
        directory=job,
        stdout=folders.stdout(key),
        stderr=folders.stderr(key),
        image=image,
        mount_point=MOUNT_POINT,
        working_directory=_own_folder(values.get("DOCKER_WORKDIR", ""), directory),
        user=values.get("DOCKER_USER", ""),
        hostname=values.get("DOCKER_HOST", ""),
        network=work.network,
        cores=work.cores,
        memory_bytes=work.memory_bytes,
    )


def image_of(values: dict[str, str], default_image: str) -> Image | None:
    """Return the image that the constants name, or the site's."""
    repository = values.get("DOCKER_REPO", "")
    if not repository:
        return Image(default_image) if default_image else None
    server = values.get("DOCKER_SRV", "")
    try:
        host = urlsplit(server).netloc if "//" in server else server.strip("/")
    except ValueError as error:
        raise Invalid("DOCKER_SRV", f"{server!r} is not the address of a registry: {error}") from None
    name = repository if host in HUB else f"{host}/{repository}"
    return Image(
        f"{name}:{values.get('DOCKER_TAG') or 'latest'}",
        values.get("DOCKER_REGISTRY_LOGIN", ""),
        values.get("DOCKER_REGISTRY_PASSWORD", ""),
    )


def notes_on(work: Work, runtime: Runtime) -> list[str]:
    """Return what this runtime does otherwise than the task may expect."""
    named = work.constants.get("DOCKER_REPO", "")
    if runtime.name == "process":
        ignored = f"; the image '{named}' was ignored" if named else ""
        return [f"not isolated: it ran as a plain process of the node{ignored}"]
    if runtime.name == "sandbox":
        return ["no image: it ran on the node's own system, read-only"]
    return []


def refusal_of_image(work: Work, runtime: Runtime) -> str | None:
    """Return why this runtime cannot run the task's image; None when it can, or when there is none."""
    named = work.constants.get("DOCKER_REPO", "")
    if runtime.name != "sandbox" or not named:
        return None
    return (
        f"DOCKER_REPO: the image '{named}' needs a container engine, and this node runs the sandbox runtime; "
        "leave DOCKER_REPO empty to run on the node's own system, or start the node with --runtime docker"
    )


def _own_folder(wanted: str, directory: str) -> str:
    return "" if wanted == directory or not Path(wanted).is_absolute() else wanted
