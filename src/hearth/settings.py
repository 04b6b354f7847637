"""Settings, each with where it may come from: command-line option, `HEARTH_*`, `hearth.toml`, default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hearth.domain.errors import Invalid


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a site may choose. `HEARTH_<NAME IN CAPITALS>` overrides `hearth.toml`."""

    data: Path = Path("hearth-data")
    database_url: str = ""  # empty: SQLite in the data directory
    host: str = "127.0.0.1"
    api_port: int = 8550  # 0: a free one
    storage_port: int = 8551
    public_api_url: str = ""  # empty: made of host and port
    public_storage_url: str = ""
    storage_base_domain: str = ""  # for bucket names in host names
    runtime: str = "auto"  # auto, docker, sandbox or process
    docker_host: str = ""  # empty: DOCKER_HOST, else the engine's usual socket
    default_image: str = "library/ubuntu:latest"  # for profiles of containers, where no DOCKER_REPO is given
    server_url: str = ""  # of the server that this node works for; empty: the one of the data directory
    node_name: str = ""  # empty: the host's name
    node_cores: float = 0.0  # what the local node offers; 0: what the machine has
    node_memory_mb: int = 0
    node_cache_mb: int = 20_480  # how much a node keeps of resources that it has fetched
    node_disk_floor_mb: int = 256  # with less free space on its disk a node takes no more work
    node_specification_key: str = ""  # what its kind of machine is called; empty: made of what it has
    node_cpu_model: str = ""  # empty: what the machine says
    node_gpus: int = -1  # -1: as many as there are
    node_ssd: str = "auto"  # whether the node's folder is on an SSD: auto, yes or no
    # What tasks may call a specification key, a reserved machine or a cpu model, and what this site calls it; "" is
    # any. As text: "8c-32g-amd-rz3700x=4c-16g, Ryzen 1700X=".
    specification_aliases: dict[str, str] = field(default_factory=dict)
    unknown_hardware: str = "refuse"  # what becomes of tasks that name hardware no node has: refuse, wait or ignore
    lease_seconds: float = 600.0
    heartbeat_seconds: float = 3.0
    losses_allowed: int = 5
    completed_instances_shown: int = 1000
    shortest_snapshot_interval: int = 5  # seconds; periodic snapshots that are asked for more often come this often
    output_limit_instance_mb: int = 10
    output_limit_task_mb: int = 100
    followers_per_account: int = 200  # streams of events or output that one account may have open
    request_limit_mb: int = 64
    # What this site says of its energy, for carbon facts; what it does not say is 0 in them.
    carbon_watts_per_core: float = 0.0
    carbon_pue: float = 1.0
    carbon_gco2_per_kwh: float = 0.0
    carbon_reused_share: float = 0.0  # of all energy, as heat that somebody needs
    carbon_heat_gco2_per_kwh: float = 0.0  # of the heating that this replaces
    carbon_water_litres_per_kwh: float = 0.0
    carbon_compared_name: str = "european_dc"  # the data centre that is compared with
    carbon_compared_pue: float = 1.0
    carbon_compared_gco2_per_kwh: float = 0.0

    @property
    def sqlalchemy_url(self) -> str:
        """Where the truth is."""
        return self.database_url or f"sqlite:///{self.data.absolute() / 'hearth.db'}"


_CHOICES = {"unknown_hardware": ("refuse", "wait", "ignore"), "node_ssd": ("auto", "yes", "no")}


def load(options: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings; `options` are those given on the command line (None: not given)."""
    given = {name: value for name, value in options.items() if value is not None}
    data = Path(str(given.get("data") or environ.get("HEARTH_DATA") or Settings().data))
    values: dict[str, Any] = {}
    file = data / "hearth.toml"
    if file.exists():
        try:
            values.update(tomllib.loads(file.read_text("utf-8")))
        except tomllib.TOMLDecodeError as error:
            raise Invalid("hearth.toml", f"{file} is not valid TOML: {error}") from None
    names = {field.name: field for field in fields(Settings)}
    for name in names:
        if (text := environ.get(f"HEARTH_{name.upper()}")) is not None:
            values[name] = text
    values.update(given)
    values["data"] = data
    unknown = sorted(values.keys() - names.keys())
    if unknown:
        raise Invalid(unknown[0], f"is no setting; the settings are {', '.join(sorted(names))}")
    checked: dict[str, Any] = {name: _convert(name, value, getattr(Settings(), name)) for name, value in values.items()}
    return replace(Settings(), **checked)


def _convert(name: str, value: object, default: object) -> object:
    kind = type(default)
    if isinstance(default, Path):
        return Path(str(value))
    if isinstance(default, dict):
        return _mapping(name, value)
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise Invalid(name, f"{value!r} is none of {', '.join(_CHOICES[name])}")
        return value
    try:
        return kind(value)  # type: ignore[call-arg]
    except (TypeError, ValueError):
        raise Invalid(name, f"{value!r} is not {'a number' if kind in (int, float) else 'text'}") from None


def _mapping(name: str, value: object) -> dict[str, str]:
    """Return a table of TOML, or text like "a=b, c=d"."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not mark or not key.strip() for key, mark, _ in pairs):
            raise Invalid(name, f"{value!r} is not a list like 'asked=ours, asked=ours'")
        return {key.strip(): ours.strip() for key, _, ours in pairs}
    if not isinstance(value, dict) or not all(isinstance(ours, str) for ours in value.values()):
        raise Invalid(name, f"{value!r} is not a table of texts")
    return {str(key): ours for key, ours in value.items()}
