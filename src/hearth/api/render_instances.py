"""Instances that run and instances that ended, in the contract's words.

Nothing here is estimated: what nobody measured is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hearth.control.usage import Usages
from hearth.domain.instance import InstanceState, Phase
from hearth.store.queries.instances import InstanceRow
from hearth.store.queries.live_times import between
from hearth.store.queries.machines import Machine
from hearth.store.queries.task_view import TaskView
from hearth.wire.agent import Usage
from hearth_client.messages.task_status import (
    CompletedInstance,
    RunningCores,
    RunningInstance,
    RunningInstances,
    TaskError,
)
from hearth_client.messages.times import format_date
from hearth_client.timespan import SECOND

CANCELLED: Final = "CANCELLED"
_MEBIBYTE: Final = 1 << 20
_ENDS: Final = {
    InstanceState.SUCCEEDED: "Success",
    InstanceState.FAILED: "Failure",
    InstanceState.CANCELLED: "Cancelled",
}
_NO_MACHINE: Final = Machine()
_UNMEASURED: Final = Usage(0, 0, 0, 0, 0)


def completed(row: InstanceRow, machine: Machine | None, cores: float, storage_host: str) -> CompletedInstance:
    """Return an instance that ended."""
    machine = machine or _NO_MACHINE
    execution = execution_of(row, row.ended_at or 0)
    told = _details.decode(row.details) if row.details else _NOTHING_TOLD
    return CompletedInstance(
        instance_id=row.number,
        state=_ENDS[InstanceState(row.state)],
        results=[f"s3://{storage_host}/{key}" for key in msgspec.json.decode(row.results)] if row.results else [],
        wall_time_sec=between(row.dispatched_at, row.ended_at) / SECOND,
        exec_time_sec=execution / SECOND,
        exec_time_sec_ghz=execution / SECOND * machine.frequency_ghz,
        peak_memory_mb=-(-row.peak_memory // _MEBIBYTE),
        average_ghz=machine.frequency_ghz,
        error=None if row.state == InstanceState.SUCCEEDED else instance_error(row, told.debug),
        specification_key=machine.specification_key,
        cpu_model=machine.cpu_model,
        core_count=whole(cores),
        clock_ratio=1.0,
        execution_attempt_count=row.attempt,
        notes=told.notes,
    )


def instance_error(row: InstanceRow, debug: str | None = None) -> TaskError:
    """Return why an instance did not succeed."""
    if row.state == InstanceState.CANCELLED:
        # How its command died of that is no news.
        return TaskError(code=CANCELLED, message=f"Instance {row.number}: it was cancelled")
    if debug is None and row.details:
        debug = _details.decode(row.details).debug
    return TaskError(
        code=row.error_code or "UNKNOWN",
        message=f"Instance {row.number}: {row.error_message or 'failed'}",
        debug=debug or None,
    )


def running(view: TaskView, usages: Usages, now: int) -> RunningInstances:
    """Return what the instances on nodes do, each and together."""
    # Those that execute come first: scripts look at the first one when the state says that all execute.
    ordered = sorted(view.live, key=lambda i: (i.state != InstanceState.RUNNING, i.number))
    cores = view.row.demand_cores
    each = [
        _running_one(
            row,
            usages.of(row.node_id, (row.task_id, row.number, row.attempt)),
            view.machines.get(row.machine_id or 0, _NO_MACHINE),
            cores,
            view.row.demand_memory,
            now,
        )
        for row in ordered
    ]
    at_work = [one for one in each if one.phase == "execution"]
    frequencies = [one.current_frequency_ghz for one in at_work if one.current_frequency_ghz] or [0.0]
    tops = [one.max_frequency_ghz for one in at_work] or [0.0]
    ratios = [one.max_frequency_ghz / one.current_frequency_ghz for one in at_work if one.current_frequency_ghz]
    by_model: dict[str, int] = {}
    for one in at_work:
        by_model[one.cpu_model] = by_model.get(one.cpu_model, 0) + one.core_count
    return RunningInstances(
        timestamp=format_date(now),
        average_frequency_ghz=sum(frequencies) / len(frequencies),
        max_frequency_ghz=max(frequencies),
        min_frequency_ghz=min(frequencies),
        average_max_frequency_ghz=sum(tops) / len(tops),
        average_cpu_usage=_mean([one.cpu_usage for one in at_work]),
        cluster_power_indicator=_mean(ratios) or 1.0,
        average_memory_usage=_mean([one.memory_usage for one in at_work]),
        average_network_in_kbps=_mean([one.network_in_kbps for one in at_work]),
        average_network_out_kbps=_mean([one.network_out_kbps for one in at_work]),
        total_network_in_kbps=sum((one.network_in_kbps for one in at_work), 0.0),
        total_network_out_kbps=sum((one.network_out_kbps for one in at_work), 0.0),
        snapshot_results=[],
        running_core_count_by_cpu_model=[
            RunningCores(model=model, core=whole(cores), running_corecount=count) for model, count in by_model.items()
        ],
        per_running_instance_info=each,
    )


def _running_one(
    row: InstanceRow, told: Usage | None, machine: Machine, cores: float, memory_bytes: int, now: int
) -> RunningInstance:
    execution = execution_of(row, now)
    usage = told or _UNMEASURED
    return RunningInstance(
        phase=_phase(InstanceState(row.state), told),
        instance_id=row.number,
        max_frequency_ghz=machine.frequency_ghz,
        current_frequency_ghz=usage.frequency_ghz,
        cpu_usage=100.0 * usage.cpu_cores / cores if cores else 0.0,
        max_memory_mb=-(-memory_bytes // _MEBIBYTE),
        current_memory_mb=-(-usage.memory_bytes // _MEBIBYTE),
        memory_usage=min(1.0, usage.memory_bytes / memory_bytes) if memory_bytes else 0.0,
        network_in_kbps=usage.network_in_kbps,
        network_out_kbps=usage.network_out_kbps,
        progress=0.0 if row.exited_at is None else 100.0,
        execution_time_sec=execution / SECOND,
        execution_time_ghz=execution / SECOND * machine.frequency_ghz,
        specification_key=machine.specification_key,
        cpu_model=machine.cpu_model,
        core_count=whole(cores),
        execution_attempt_count=row.attempt,
        clock_ratio=1.0,
        active_forwards=[],
        vpn_connections=[],
    )


def _phase(state: InstanceState, told: Usage | None) -> str:
    """Return what is being done with an instance: the row knows of starts and ends, its node of the rest."""
    if state is InstanceState.CANCELLING or (told is not None and told.phase == Phase.SHUTDOWN):
        return "shutdown"
    if state is InstanceState.UPLOADING:
        return "upload"
    if state is InstanceState.RUNNING:
        return "upload" if told is not None and told.phase == Phase.UPLOAD else "execution"
    if told is None:
        return "dispatch"
    return "download" if told.phase == Phase.DOWNLOAD else "environment"


class _Details(msgspec.Struct):
    notes: list[str] = []
    debug: str = ""


_details = msgspec.json.Decoder(_Details)
_NOTHING_TOLD: Final = _Details()


def execution_of(row: InstanceRow, now: int) -> int:
    """Return how long the command ran, or has run until now."""
    return between(row.started_at, row.exited_at or row.ended_at or now)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def whole(cores: float) -> int:
    """Return cores as a whole number; a part of one counts as one."""
    return int(-(-cores // 1))
