"""Network rules that are set beyond what the profile allows."""

from __future__ import annotations

from typing import Any

_NAMES = {
    "inbound": "inbound",
    "proto": "proto",
    "port": "port",
    "to": "to",
    "public_host": "publicHost",
    "public_port": "publicPort",
    "forwarder": "forwarder",
    "priority": "priority",
    "description": "description",
    "to_qbox": "toQBox",
    "to_payload": "toPayload",
    "name": "name",
    "application_type": "applicationType",
}


class ForcedNetworkRule:
    """One rule: what may come in, or go out."""

    def __init__(
        self,
        inbound: bool,
        proto: str,
        port: str | None = None,
        to: str | None = None,
        public_host: str | None = None,
        public_port: str | None = None,
        forwarder: str | None = None,
        priority: str | None = None,
        description: str | None = None,
        to_qbox: bool | None = None,
        to_payload: bool | None = None,
        name: str | None = None,
        application_type: str | None = None,
    ) -> None:
        self.inbound = inbound
        """Is it about what comes in?"""
        self.proto = proto
        """Protocol, such as tcp."""
        self.port = port
        """Port, or ports, in the instance."""
        self.to = to
        """Where outgoing traffic may go."""
        self.public_host = public_host
        """Host under which the port is reached."""
        self.public_port = public_port
        """Port under which the port is reached."""
        self.forwarder = forwarder
        """What forwards the traffic."""
        self.priority = priority
        """Which of several rules counts."""
        self.description = description
        """What it is for."""
        self.to_qbox = to_qbox
        """Is it for the machine?"""
        self.to_payload = to_payload
        """Is it for the container?"""
        self.name = name
        """Name of the rule."""
        self.application_type = application_type
        """What listens on the port."""

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> ForcedNetworkRule:
        """Return the rule that an answer names."""
        rule = cls(bool(json.get("inbound")), json.get("proto") or "")
        for attribute, field in _NAMES.items():
            if attribute not in ("inbound", "proto"):
                setattr(rule, attribute, json.get(field))
        return rule

    def to_json(self) -> dict[str, Any]:
        """Return the rule as it travels, without what is not set."""
        values = {field: getattr(self, attribute) for attribute, field in _NAMES.items()}
        return {field: value for field, value in values.items() if value is not None}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ForcedNetworkRule) and other.to_json() == self.to_json()

    def __hash__(self) -> int:
        return hash(tuple(self.to_json().items()))

    def __repr__(self) -> str:
        return f"ForcedNetworkRule({self.to_json()})"
