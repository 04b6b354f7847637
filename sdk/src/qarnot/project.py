"""Projects that tasks, pools and money belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qarnot.budget import Budget
from qarnot.credits_client import CreditsClient
from qarnot.exceptions import MissingProjectException

if TYPE_CHECKING:
    from qarnot.connection import Connection


class Project:
    """A project of the account's organization."""

    def __init__(self, uuid: str) -> None:
        self._uuid = uuid
        self._name: str | None = None
        self._slug: str | None = None
        self._description: str | None = None
        self._organization_uuid: str | None = None
        self._is_default = False

    @property
    def uuid(self) -> str:
        """Its id."""
        return self._uuid

    @property
    def name(self) -> str | None:
        """Its name."""
        return self._name

    @property
    def slug(self) -> str | None:
        """Its name as it stands in addresses."""
        return self._slug

    @property
    def description(self) -> str | None:
        """What it is for."""
        return self._description

    @property
    def organization_uuid(self) -> str | None:
        """The organization."""
        return self._organization_uuid

    @property
    def is_default(self) -> bool:
        """Is it taken where none is named?"""
        return self._is_default

    @staticmethod
    def retrieve_default(connection: Connection) -> Project:
        """Return the account's default project."""
        return _find(connection, "the default", lambda project: project.is_default)

    @staticmethod
    def retrieve_by_uuid(connection: Connection, uuid: str) -> Project:
        """Return the project with this id."""
        return _find(connection, f"uuid {uuid!r}", lambda project: project.uuid == uuid)

    @staticmethod
    def retrieve_by_slug(connection: Connection, slug: str) -> Project:
        """Return the project with this slug."""
        return _find(connection, f"slug {slug!r}", lambda project: project.slug == slug)

    @staticmethod
    def retrieve_by_name(connection: Connection, name: str) -> Project:
        """Return the project with this name."""
        return _find(connection, f"name {name!r}", lambda project: project.name == name)

    def get_active_budgets(self, connection: Connection) -> list[Budget]:
        """Return the budgets that may be spent now."""
        return CreditsClient(connection).get_project_budgets(self._uuid, True)

    def get_all_budgets(self, connection: Connection) -> list[Budget]:
        """Return all budgets, archived and over ones too."""
        return CreditsClient(connection).get_project_budgets(self._uuid, False)

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> Project:
        """Return the project that an answer names."""
        project = cls(payload["uuid"])
        project._name = payload.get("name")
        project._slug = payload.get("slug")
        project._description = payload.get("description")
        project._organization_uuid = payload.get("organizationUuid")
        project._is_default = bool(payload.get("isDefault", project._slug == "default"))
        return project

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Project) and other.uuid == self.uuid

    def __hash__(self) -> int:
        return hash(self._uuid)

    def __repr__(self) -> str:
        return f"Project({self._uuid!r}, name={self._name!r})"


def _find(connection: Connection, wanted: str, fits: Callable[[Project], bool]) -> Project:
    for project in connection.user_info.projects:
        if fits(project):
            return project
    raise MissingProjectException(f"the account has no such project: {wanted}")
