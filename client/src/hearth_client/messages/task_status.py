"""What the instances of a task do."""

from __future__ import annotations

from msgspec import field

from hearth_client.messages.base import Answer


class TaskError(Answer):
    """Why something went wrong; `debug` has what only its author understands."""

    code: str
    message: str
    debug: str | None = None


class CompletedInstance(Answer):
    """An instance that ended."""

    instance_id: int
    state: str
    results: list[str]
    wall_time_sec: float
    exec_time_sec: float
    exec_time_sec_ghz: float = field(name="execTimeSecGHz")
    peak_memory_mb: int = field(name="peakMemoryMB")
    average_ghz: float = field(name="averageGHz")
    error: TaskError | None
    specification_key: str
    cpu_model: str
    core_count: int
    clock_ratio: float
    execution_attempt_count: int
    notes: list[str] = []  # what was done otherwise than asked


class ActiveForward(Answer):
    """A port of an instance that can be reached from outside."""

    application_port: int
    forwarder_port: int
    forwarder_host: str
    bind_address: str | None = None


class VpnConnection(Answer):
    """A private network that an instance is in."""

    node_ip_address_cidr: str = field(name="nodeIPAddressCidr")
    vpn_name: str


class RunningInstance(Answer):
    """An instance that is on a node."""

    phase: str
    instance_id: int
    max_frequency_ghz: float = field(name="maxFrequencyGHz")
    current_frequency_ghz: float = field(name="currentFrequencyGHz")
    cpu_usage: float
    max_memory_mb: int = field(name="maxMemoryMB")
    current_memory_mb: int = field(name="currentMemoryMB")
    memory_usage: float
    network_in_kbps: float
    network_out_kbps: float
    progress: float
    execution_time_sec: float
    execution_time_ghz: float = field(name="executionTimeGHz")
    specification_key: str
    cpu_model: str
    core_count: int
    execution_attempt_count: int
    clock_ratio: float
    active_forwards: list[ActiveForward]
    vpn_connections: list[VpnConnection]


class RunningCores(Answer):
    """Cores at work, by model."""

    model: str
    core: int
    running_corecount: int


class RunningInstances(Answer):
    """The instances on nodes, each and together."""

    timestamp: str
    average_frequency_ghz: float = field(name="averageFrequencyGHz")
    max_frequency_ghz: float = field(name="maxFrequencyGHz")
    min_frequency_ghz: float = field(name="minFrequencyGHz")
    average_max_frequency_ghz: float = field(name="averageMaxFrequencyGHz")
    average_cpu_usage: float
    cluster_power_indicator: float
    average_memory_usage: float
    average_network_in_kbps: float
    average_network_out_kbps: float
    total_network_in_kbps: float
    total_network_out_kbps: float
    snapshot_results: list[str]
    running_core_count_by_cpu_model: list[RunningCores]
    per_running_instance_info: list[RunningInstance]


class ModelTime(Answer):
    """Execution time on one model of processor."""

    model: str
    time: float
    core: int


class ModelTimeGhz(Answer):
    """Execution time on one model of processor, times its frequency."""

    model: str
    time_ghz: float
    clock_ratio: float
    core: int


class SpecificationTime(Answer):
    """Execution time on one kind of machine."""

    specification_key: str
    time: float


class SiteTime(Answer):
    """Execution time on one kind of machine of one site."""

    site_uuid: str
    specification_key: str
    time: float


class InstanceTime(Answer):
    """Execution time of one instance."""

    instance_id: int
    specification_key: str
    site_uuid: str
    time: float
    time_ghz: float
    clock_ratio: float


class TaskStatus(Answer):
    """Progress, times and ranges of a task; the range of failed instances has the cancelled ones in it."""

    timestamp: str
    last_update_timestamp: str
    download_progress: float
    execution_progress: float
    upload_progress: float
    instance_count: int
    download_time: str
    download_time_sec: float
    environment_time: str
    environment_time_sec: float
    execution_time: str
    execution_time_sec: float
    upload_time: str
    upload_time_sec: float
    wall_time: str
    wall_time_sec: float
    execution_time_by_cpu_model: list[ModelTime]
    execution_time_ghz_by_cpu_model: list[ModelTimeGhz]
    execution_time_by_machine_specification: list[SpecificationTime]
    execution_time_by_site_and_machine: list[SiteTime]
    execution_time_by_instance_id: list[InstanceTime]
    succeeded_range: str
    executed_range: str
    failed_range: str
    cancelled_range: str
    failed_only_range: str
    started_once_range: str
    running_instances_info: RunningInstances
