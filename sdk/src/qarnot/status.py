"""What is known of the running of a task or pool."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class _Described:
    """Shows its attributes when printed."""

    def __repr__(self) -> str:
        return ", ".join(f"{name}: {value!r}" for name, value in vars(self).items())


class Status(_Described):
    """Progress, times and instance ranges of a task or pool."""

    def __init__(self, json: Json) -> None:
        self.last_update_timestamp: str | None = json.get("lastUpdateTimestamp")
        """When the platform last heard from the instances."""
        self.download_progress: float | None = json.get("downloadProgress")
        """How much of the resources is on the nodes, 0 to 100."""
        self.execution_progress: float | None = json.get("executionProgress")
        """How much of the execution is done, 0 to 100."""
        self.upload_progress: float | None = json.get("uploadProgress")
        """How much of the results is in the bucket, 0 to 100."""
        self.instance_count: int | None = json.get("instanceCount")
        """Number of running instances."""
        self.download_time: str | None = json.get("downloadTime")
        """Time spent on bringing resources, as a span."""
        self.download_time_sec: float | None = json.get("downloadTimeSec")
        """The same in seconds."""
        self.environment_time: str | None = json.get("environmentTime")
        """Time spent on preparing the environment, as a span."""
        self.environment_time_sec: float | None = json.get("environmentTimeSec")
        """The same in seconds."""
        self.execution_time: str | None = json.get("executionTime")
        """Time spent on running, over all instances, as a span."""
        self.execution_time_sec: float | None = json.get("executionTimeSec")
        """The same in seconds."""
        self.upload_time: str | None = json.get("uploadTime")
        """Time spent on sending results, as a span."""
        self.upload_time_sec: float | None = json.get("uploadTimeSec")
        """The same in seconds."""
        self.wall_time: str | None = json.get("wallTime")
        """Life of the task, as a span."""
        self.wall_time_sec: float | None = json.get("wallTimeSec")
        """The same in seconds."""
        self.succeeded_range: str | None = json.get("succeededRange")
        """Instances that succeeded, as a range such as 0-3,7."""
        self.executed_range: str | None = json.get("executedRange")
        """Instances that ended."""
        self.failed_range: str | None = json.get("failedRange")
        """Instances that failed or were cancelled."""
        self.execution_time_by_cpu_model: list[ExecutionTimeByCpuModel] = [
            ExecutionTimeByCpuModel(item) for item in json.get("executionTimeByCpuModel") or []
        ]
        """Execution time on each processor model."""
        self.execution_time_ghz_by_cpu_model: list[ExecutionTimeGhzByCpuModel] = [
            ExecutionTimeGhzByCpuModel(item) for item in json.get("executionTimeGhzByCpuModel") or []
        ]
        """The same, multiplied by the frequency."""
        running = json.get("runningInstancesInfo")
        self.running_instances_info: RunningInstancesInfo | None = (
            RunningInstancesInfo(running) if running is not None else None
        )
        """What the running instances do."""


class RunningInstancesInfo(_Described):
    """What the running instances do, together and one by one."""

    def __init__(self, json: Json) -> None:
        self.per_running_instance_info: list[PerRunningInstanceInfo] = [
            PerRunningInstanceInfo(item) for item in json.get("perRunningInstanceInfo") or []
        ]
        """Each running instance."""
        self.timestamp: str | None = json.get("timestamp")
        """When this was measured."""
        self.average_frequency_ghz: float | None = json.get("averageFrequencyGHz")
        """Average processor frequency."""
        self.max_frequency_ghz: float | None = json.get("maxFrequencyGHz")
        """Highest processor frequency."""
        self.min_frequency_ghz: float | None = json.get("minFrequencyGHz")
        """Lowest processor frequency."""
        self.average_max_frequency_ghz: float | None = json.get("averageMaxFrequencyGHz")
        """Average of the highest frequencies."""
        self.average_cpu_usage: float | None = json.get("averageCpuUsage")
        """Average processor use."""
        self.cluster_power_indicator: float | None = json.get("clusterPowerIndicator")
        """Share of the full power that the machines may use."""
        self.average_memory_usage: float | None = json.get("averageMemoryUsage")
        """Average memory use, 0 to 1."""
        self.average_network_in_kbps: float | None = json.get("averageNetworkInKbps")
        """Average incoming traffic."""
        self.average_network_out_kbps: float | None = json.get("averageNetworkOutKbps")
        """Average outgoing traffic."""
        self.total_network_in_kbps: float | None = json.get("totalNetworkInKbps")
        """Incoming traffic of all instances."""
        self.total_network_out_kbps: float | None = json.get("totalNetworkOutKbps")
        """Outgoing traffic of all instances."""
        self.snapshot_results: list[str] = json.get("snapshotResults") or []
        """What snapshots have brought so far."""
        self.running_core_count_by_cpu_model: list[Json] = json.get("runningCoreCountByCpuModel") or []
        """Running cores of each processor model."""


class PerRunningInstanceInfo(_Described):
    """What one running instance does."""

    def __init__(self, json: Json) -> None:
        self.phase: str | None = json.get("phase")
        """download, dispatch, environment, execution, shutdown or upload."""
        self.instance_id: int | None = json.get("instanceId")
        """Number of the instance."""
        self.max_frequency_ghz: float | None = json.get("maxFrequencyGHz")
        """Highest frequency of its processor."""
        self.current_frequency_ghz: float | None = json.get("currentFrequencyGHz")
        """Frequency of its processor now."""
        self.cpu_usage: float | None = json.get("cpuUsage")
        """Processor use now."""
        self.max_memory_mb: int | None = json.get("maxMemoryMB")
        """Memory that it may use."""
        self.current_memory_mb: int | None = json.get("currentMemoryMB")
        """Memory that it uses now."""
        self.memory_usage: float | None = json.get("memoryUsage")
        """The quotient of the two, 0 to 1."""
        self.network_in_kbps: float | None = json.get("networkInKbps")
        """Incoming traffic."""
        self.network_out_kbps: float | None = json.get("networkOutKbps")
        """Outgoing traffic."""
        self.progress: float | None = json.get("progress")
        """Its progress, 0 to 100."""
        self.execution_time_sec: float | None = json.get("executionTimeSec")
        """How long it has run."""
        self.execution_time_ghz: float | None = json.get("executionTimeGHz")
        """The same, multiplied by the frequency."""
        self.cpu_model: str | None = json.get("cpuModel")
        """Model of its processor."""
        self.execution_attempt_count: int | None = json.get("executionAttemptCount")
        """How often it was started."""
        self.active_forward: list[TaskActiveForward] = [
            TaskActiveForward(item) for item in json.get("activeForwards") or []
        ]
        """Ports of it that can be reached from outside."""
        self.vpn_connections: list[TaskVpnConnection] = [
            TaskVpnConnection(item) for item in json.get("vpnConnections") or []
        ]
        """Virtual networks that it is in."""


class TaskActiveForward(_Described):
    """A port of an instance that can be reached from outside."""

    def __init__(self, json: Json) -> None:
        self.application_port: int | None = json.get("applicationPort")
        """The port in the instance."""
        self.forwarder_port: int | None = json.get("forwarderPort")
        """The port outside."""
        self.forwarder_host: str | None = json.get("forwarderHost")
        """The host outside."""
        self.bind_address: str | None = json.get("bindAddress")
        """The address that the outside port listens on."""


class ExecutionTimeByCpuModel(_Described):
    """Execution time on one processor model."""

    def __init__(self, json: Json) -> None:
        self.model: str | None = json.get("model")
        """The model."""
        self.time: float | None = json.get("time")
        """Seconds."""
        self.core: int | None = json.get("core")
        """Cores of the processor."""


class ExecutionTimeGhzByCpuModel(_Described):
    """Execution time multiplied by frequency on one processor model."""

    def __init__(self, json: Json) -> None:
        self.model: str | None = json.get("model")
        """The model."""
        self.time_ghz: float | None = json.get("timeGhz")
        """Seconds times GHz."""
        self.clock_ratio: float | None = json.get("clockRatio")
        """Share of the full frequency."""
        self.core: int | None = json.get("core")
        """Cores of the processor."""


class TaskVpnConnection(_Described):
    """A virtual network that an instance is in."""

    def __init__(self, json: Json) -> None:
        self.node_ip_address_cidr: str | None = json.get("nodeIPAddressCidr")
        """Its address there, with the size of the network."""
        self.vpn_name: str | None = json.get("vpnName")
        """Name of the network."""
