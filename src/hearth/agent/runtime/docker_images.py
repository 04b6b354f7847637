"""Images on this node: present, or fetched once however many runs wait for them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from hearth.agent.runtime.base import Image, Refused
from hearth.agent.runtime.docker_engine import Engine, EngineGone, EngineRefused
from hearth.agent.runtime.docker_recovery import Recovery

HUB = "docker.io"

# What registries and engines write, and what it means; the first that fits is taken.
_MEANINGS: list[tuple[tuple[str, ...], str, str]] = [
    (
        ("invalid reference format", "invalid repository name", "invalid tag", "must be lowercase"),
        "IMAGE_REFERENCE_INVALID",
        "'{image}' is not the name of an image; write [registry/]repository:tag in lower case.",
    ),
    (
        ("no matching manifest", "does not match the specified platform"),
        "IMAGE_WRONG_PLATFORM",
        "Image '{image}' of registry {registry} has no version for this machine's processor.",
    ),
    (
        ("toomanyrequests", "too many requests", "rate limit"),
        "REGISTRY_RATE_LIMIT",
        "Registry {registry} refuses more pulls for now; give a login or try later (image '{image}').",
    ),
    (
        ("no space left",),
        "NODE_DISK_FULL",
        "The node has no room left for image '{image}' of registry {registry}.",
    ),
    (
        (
            "connection refused",
            "no such host",
            "i/o timeout",
            "timeout",
            "server gave http response to https client",
            "tls:",
            "x509",
            "network is unreachable",
            "no route to host",
            "connection reset",
            "server misbehaving",
            "temporary failure",
            ": eof",
        ),
        "REGISTRY_UNREACHABLE",
        "Registry {registry} of image '{image}' cannot be reached from the node: {reason}",
    ),
    (
        ("denied", "unauthorized", "authentication required", "no basic auth credentials", "forbidden"),
        "IMAGE_PULL_REFUSED",
        "Registry {registry} does not give image '{image}' {to}: it does not exist there, or another login is needed.",
    ),
    (
        ("manifest unknown", "not found", "does not exist", "name unknown", "no such image"),
        "IMAGE_NOT_FOUND",
        "Registry {registry} has no image '{image}'; check its name and tag.",
    ),
]


class Images:
    """The node's images, by one engine.

    An image that was pulled with a login carries one more name, a mark; whoever wants it is then sent to the
    registry with a login of their own, once in the agent's life, although the image is here already.
    """

    def __init__(self, engine: Engine, recovery: Recovery, now: Callable[[], int]) -> None:
        self._engine = engine
        self._recovery = recovery
        self._now = now
        self._allowed: set[Image] = set()  # what a registry gave, and by which login
        self._pulls: dict[Image, asyncio.Task[Refused | None]] = {}

    async def prepare(self, image: Image) -> Refused | None:
        """Make `image` present; a refusal says why it cannot be. Callers at the same time share one pull."""
        pull = self._pulls.get(image)
        if pull is None:
            pull = self._pulls[image] = asyncio.create_task(self._prepare(image))
            pull.add_done_callback(lambda _: self._pulls.pop(image, None))
        return await asyncio.shield(pull)

    async def close(self) -> None:
        """Give up the pulls that are under way."""
        pulls = list(self._pulls.values())
        for pull in pulls:
            pull.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)

    async def _prepare(self, image: Image) -> Refused | None:
        failures = 0
        while True:
            try:
                if await self._engine.has_image(image.reference) and await self._may_use(image):
                    return None
                await self._engine.pull(full_reference(image.reference), _credentials(image))
                if not await self._engine.has_image(image.reference):
                    raise EngineGone("The pull broke off.")
                if image.login or image.password:
                    await self._engine.tag(image.reference, private_mark(image.reference), "1")
                self._allowed.add(image)
                return None
            except EngineRefused as error:
                return pull_refusal(image, error.message, self._now())
            except EngineGone as gone:
                failures += 1
                await self._recovery.pause(failures, gone)

    async def _may_use(self, image: Image) -> bool:
        return image in self._allowed or not await self._engine.has_image(f"{private_mark(image.reference)}:1")


def private_mark(reference: str) -> str:
    """Return the other name of an image that was pulled with a login."""
    return f"hearth.local/private/{hashlib.sha256(full_reference(reference).encode()).hexdigest()[:40]}"


def full_reference(reference: str) -> str:
    """Return `reference` with its registry and tag written out, as engines read it."""
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"{HUB}/library/{reference}"
    elif "." not in first and ":" not in first and first != "localhost":
        reference = f"{HUB}/{reference}"
    last = reference.rpartition("/")[2]
    return reference if ":" in last or "@" in last else f"{reference}:latest"


def registry_of(reference: str) -> str:
    """Return the registry that serves `reference`."""
    return full_reference(reference).partition("/")[0]


def pull_refusal(image: Image, reason: str, at: int) -> Refused:
    """Say why an image cannot be had, without its password."""
    reason = reason.strip()
    if image.password:
        reason = reason.replace(image.password, "***")
    code, message = "IMAGE_PULL_FAILED", "Image '{image}' cannot be had from registry {registry}: {reason}"
    for signs, its_code, its_message in _MEANINGS:
        if any(sign in reason.lower() for sign in signs):
            code, message = its_code, its_message
            break
    to = f"to login '{image.login}'" if image.login else "without a login"
    registry = registry_of(image.reference)
    text = message.format(image=image.reference, registry=registry, reason=reason, to=to)
    return Refused("", at, 125, code, text)


def _credentials(image: Image) -> dict[str, str] | None:
    if not image.login and not image.password:
        return None
    return {"username": image.login, "password": image.password}
