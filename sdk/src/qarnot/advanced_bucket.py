"""Which objects of a bucket are resources, and under which names they appear."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from qarnot._keys import clean_key, stderr_logger


class AbstractFiltering(ABC):
    """A rule that says which objects are taken."""

    name: str = ""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the rule as it travels."""

    @classmethod
    @abstractmethod
    def from_json(cls, json: dict[str, str]) -> Self:
        """Return the rule that an answer names."""

    @abstractmethod
    def sanitize_filter_paths(self, show_warnings: bool) -> None:
        """Remove leading and doubled slashes from the paths of the rule."""


class BucketPrefixFiltering(AbstractFiltering):
    """Takes the objects whose key begins with a prefix."""

    name = "prefixFiltering"

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        """How the keys begin."""

    @classmethod
    def from_json(cls, json: dict[str, str]) -> Self:
        """Return the rule that an answer names."""
        return cls(json["prefix"])

    def to_json(self) -> dict[str, str]:
        """Return the rule as it travels."""
        return {"prefix": self.prefix}

    def sanitize_filter_paths(self, show_warnings: bool) -> None:
        """Remove leading and doubled slashes from the prefix."""
        self.prefix = clean_key(self.prefix, warn=stderr_logger() if show_warnings else None)

    def __repr__(self) -> str:
        return f"BucketPrefixFiltering({self.prefix!r})"


class Filtering:
    """The rules of a bucket that say which objects are taken."""

    def __init__(self) -> None:
        self._filters: dict[str, AbstractFiltering] = {}

    def append(self, filtering: AbstractFiltering) -> None:
        """Add a rule; it replaces an earlier one of its kind."""
        self._filters[filtering.name] = filtering

    @classmethod
    def from_json(cls, json: dict[str, Any] | None) -> Filtering:
        """Return the rules that an answer names."""
        filtering = cls()
        rule = (json or {}).get(BucketPrefixFiltering.name)
        if rule is not None:
            filtering.append(BucketPrefixFiltering.from_json(rule))
        return filtering

    def to_json(self) -> dict[str, Any]:
        """Return the rules as they travel."""
        return {name: rule.to_json() for name, rule in self._filters.items()}

    def sanitize_filter_paths(self, show_warning: bool) -> None:
        """Remove leading and doubled slashes from the paths of all rules."""
        for rule in self._filters.values():
            rule.sanitize_filter_paths(show_warning)

    def __repr__(self) -> str:
        return f"Filtering({list(self._filters.values())})"


class AbstractResourcesTransformation(ABC):
    """A rule that says how objects are named on the nodes."""

    name: str = ""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the rule as it travels."""

    @classmethod
    @abstractmethod
    def from_json(cls, json: dict[str, str]) -> Self:
        """Return the rule that an answer names."""

    @abstractmethod
    def sanitize_transformation_paths(self, show_warnings: bool) -> None:
        """Remove leading and doubled slashes from the paths of the rule."""


class PrefixResourcesTransformation(AbstractResourcesTransformation):
    """Takes a prefix away from the names."""

    name = "stripPrefix"

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        """What is taken away."""

    @classmethod
    def from_json(cls, json: dict[str, str]) -> Self:
        """Return the rule that an answer names."""
        return cls(json["prefix"])

    def to_json(self) -> dict[str, str]:
        """Return the rule as it travels."""
        return {"prefix": self.prefix}

    def sanitize_transformation_paths(self, show_warnings: bool) -> None:
        """Remove leading and doubled slashes from the prefix."""
        self.prefix = clean_key(self.prefix, warn=stderr_logger() if show_warnings else None)

    def __repr__(self) -> str:
        return f"PrefixResourcesTransformation({self.prefix!r})"


class ResourcesTransformation:
    """The rules of a bucket that say how objects are named on the nodes."""

    def __init__(self) -> None:
        self._transformers: dict[str, AbstractResourcesTransformation] = {}

    def append(self, resource: AbstractResourcesTransformation) -> None:
        """Add a rule; it replaces an earlier one of its kind."""
        self._transformers[resource.name] = resource

    @classmethod
    def from_json(cls, json: dict[str, Any] | None) -> ResourcesTransformation:
        """Return the rules that an answer names."""
        transformation = cls()
        rule = (json or {}).get(PrefixResourcesTransformation.name)
        if rule is not None:
            transformation.append(PrefixResourcesTransformation.from_json(rule))
        return transformation

    def to_json(self) -> dict[str, Any]:
        """Return the rules as they travel."""
        return {name: rule.to_json() for name, rule in self._transformers.items()}

    def sanitize_transformation_paths(self, show_warning: bool) -> None:
        """Remove leading and doubled slashes from the paths of all rules."""
        for rule in self._transformers.values():
            rule.sanitize_transformation_paths(show_warning)

    def __repr__(self) -> str:
        return f"ResourcesTransformation({list(self._transformers.values())})"
