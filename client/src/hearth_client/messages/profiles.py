"""Profiles: templates of constants that tasks name."""

from __future__ import annotations

from hearth_client.messages.base import Answer


class ProfileConstant(Answer):
    """A constant that a task may set, with its default."""

    name: str
    value: str
    description: str


class ProfileLicense(Answer):
    """Seats that the software of a profile needs."""

    name: str
    max_instances: int
    max_cores: int


class Profile(Answer):
    """`GET /profiles/{name}`."""

    name: str
    description: str = ""
    constants: list[ProfileConstant] = []
    licenses: list[ProfileLicense] = []
