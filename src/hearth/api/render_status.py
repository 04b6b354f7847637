"""What the instances of a task do, in the contract's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from hearth.domain.instance import InstanceState
from hearth.domain.ranges import RangeSet
from hearth.store.queries.instances import InstanceRow
from hearth.store.queries.task_view import TaskView
from hearth.wire.agent import Offer
from hearth_client.messages.task_status import (
    CompletedInstance,
    InstanceTime,
    ModelTime,
    ModelTimeGhz,
    RunningCores,
    RunningInstance,
    RunningInstances,
    SpecificationTime,
    TaskError,
    TaskStatus,
)
from hearth_client.messages.times import format_date
from hearth_client.timespan import SECOND, format_timespan

_MEBIBYTE: Final = 1 << 20
_PHASES: Final = {
    InstanceState.DISPATCHED: "environment",
    InstanceState.RUNNING: "execution",
    InstanceState.UPLOADING: "upload",
    InstanceState.CANCELLING: "shutdown",
}
_ENDS: Final = {
    InstanceState.SUCCEEDED: "Success",
    InstanceState.FAILED: "Failure",
    InstanceState.CANCELLED: "Cancelled",
}


@dataclass(frozen=True, slots=True)
class _Machine:
    """What is known of the machine of an instance."""

    cpu_model: str = ""
    frequency_ghz: float = 0.0
    specification_key: str = ""
    notes: tuple[str, ...] = ()


def whole_seconds(microseconds: int) -> str:
    """Return a span without a fraction: scripts read these with %H:%M:%S."""
    return format_timespan(max(0, microseconds) // SECOND * SECOND)


def completed(row: InstanceRow, cores: float, storage_host: str) -> CompletedInstance:
    """Return an instance that ended."""
    machine = _machine_of(row.details)
    execution = _execution(row, row.ended_at or 0)
    return CompletedInstance(
        instance_id=row.number,
        state=_ENDS[InstanceState(row.state)],
        results=[f"s3://{storage_host}/{key}" for key in msgspec.json.decode(row.results)] if row.results else [],
        wall_time_sec=_between(row.dispatched_at, row.ended_at) / SECOND,
        exec_time_sec=execution / SECOND,
        exec_time_sec_ghz=execution / SECOND * machine.frequency_ghz,
        peak_memory_mb=-(-row.peak_memory // _MEBIBYTE),
        average_ghz=machine.frequency_ghz,
        error=None if row.error_code is None else instance_error(row),
        specification_key=machine.specification_key,
        cpu_model=machine.cpu_model,
        core_count=_whole(cores),
        clock_ratio=1.0,
        execution_attempt_count=row.attempt,
        notes=list(machine.notes),
    )


def instance_error(row: InstanceRow) -> TaskError:
    """Return why an instance did not succeed."""
    return TaskError(
        code=row.error_code or "UNKNOWN", message=f"Instance {row.number}: {row.error_message or 'failed'}"
    )


def status(view: TaskView, now: int) -> TaskStatus:
    """Return progress, times and ranges."""
    row = view.row
    total = max(1, row.instance_total)
    ended = view.ended_count
    exited = ended + row.uploading_count
    started = exited + row.running_count
    execution = row.execution_microseconds + sum(_execution(i, now) for i in view.live)
    upload = sum(_between(i.exited_at, i.ended_at) for i in view.ended)
    environment = sum(_between(i.dispatched_at, i.started_at) for i in (*view.ended, *view.live))
    wall = max(0, (row.ended_at or now) - row.created_at)
    models, specifications, each = _by_machine(view, now)
    cores = _whole(row.demand_cores)
    moment = format_date(now)
    return TaskStatus(
        timestamp=moment,
        last_update_timestamp=format_date(row.modified_at if row.ended_at is None else row.ended_at),
        download_progress=100.0 * started / total,
        execution_progress=100.0 * exited / total,
        upload_progress=100.0 * ended / total,
        instance_count=row.running_count,
        # Resources are fetched while the environment is made: one time for both.
        download_time=whole_seconds(0),
        download_time_sec=0.0,
        environment_time=whole_seconds(environment),
        environment_time_sec=environment / SECOND,
        execution_time=whole_seconds(execution),
        execution_time_sec=execution / SECOND,
        upload_time=whole_seconds(upload),
        upload_time_sec=upload / SECOND,
        wall_time=whole_seconds(wall),
        wall_time_sec=wall / SECOND,
        execution_time_by_cpu_model=[ModelTime(model=m, time=t, core=cores) for (m, _), t in models.items()],
        execution_time_ghz_by_cpu_model=[
            ModelTimeGhz(model=m, time_ghz=t * ghz, clock_ratio=1.0, core=cores) for (m, ghz), t in models.items()
        ],
        execution_time_by_machine_specification=[
            SpecificationTime(specification_key=key, time=t) for key, t in specifications.items()
        ],
        execution_time_by_site_and_machine=[],
        execution_time_by_instance_id=each,
        succeeded_range=row.succeeded,
        executed_range=_union(row.succeeded, row.failed),
        failed_range=_union(row.failed, row.cancelled),
        cancelled_range=row.cancelled,
        failed_only_range=row.failed,
        started_once_range=row.started,
        running_instances_info=_running(view.live, view.offers, row.demand_cores, row.demand_memory, now),
    )


def _union(left: str, right: str) -> str:
    """Return two sets together; they are parsed only when there is something to do."""
    return str(RangeSet.parse(left) | RangeSet.parse(right)) if left and right else left or right


def _running(
    live: Sequence[InstanceRow], offers: Mapping[int, Offer], cores: float, memory_bytes: int, now: int
) -> RunningInstances:
    # Those that execute come first: scripts look at the first one when the state says that all execute.
    ordered = sorted(live, key=lambda i: (i.state != InstanceState.RUNNING, i.number))
    each = [_running_one(i, offers.get(i.node_id or 0), cores, memory_bytes, now) for i in ordered]
    at_work = [one for one in each if one.phase == "execution"]
    frequencies = [one.current_frequency_ghz for one in at_work] or [0.0]
    tops = [one.max_frequency_ghz for one in at_work] or [0.0]
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
        cluster_power_indicator=1.0,
        average_memory_usage=_mean([one.memory_usage for one in at_work]),
        average_network_in_kbps=_mean([one.network_in_kbps for one in at_work]),
        average_network_out_kbps=_mean([one.network_out_kbps for one in at_work]),
        total_network_in_kbps=sum((one.network_in_kbps for one in at_work), 0.0),
        total_network_out_kbps=sum((one.network_out_kbps for one in at_work), 0.0),
        snapshot_results=[],
        running_core_count_by_cpu_model=[
            RunningCores(model=model, core=_whole(cores), running_corecount=count) for model, count in by_model.items()
        ],
        per_running_instance_info=each,
    )


def _running_one(row: InstanceRow, offer: Offer | None, cores: float, memory_bytes: int, now: int) -> RunningInstance:
    execution = _execution(row, now)
    frequency = offer.frequency_ghz if offer else 0.0
    return RunningInstance(
        phase=_PHASES[InstanceState(row.state)],
        instance_id=row.number,
        max_frequency_ghz=frequency,
        current_frequency_ghz=frequency,
        cpu_usage=min(100.0, 100.0 * row.cpu_microseconds / (execution * cores)) if execution and cores else 0.0,
        max_memory_mb=-(-row.peak_memory // _MEBIBYTE),
        current_memory_mb=-(-row.peak_memory // _MEBIBYTE),
        memory_usage=min(1.0, row.peak_memory / memory_bytes) if memory_bytes else 0.0,
        network_in_kbps=0.0,
        network_out_kbps=0.0,
        progress=0.0 if row.exited_at is None else 100.0,
        execution_time_sec=execution / SECOND,
        execution_time_ghz=execution / SECOND * frequency,
        specification_key=offer.specification_key if offer else "",
        cpu_model=offer.cpu_model if offer else "",
        core_count=_whole(cores),
        execution_attempt_count=row.attempt,
        clock_ratio=1.0,
        active_forwards=[],
        vpn_connections=[],
    )


def _by_machine(
    view: TaskView, now: int
) -> tuple[dict[tuple[str, float], float], dict[str, float], list[InstanceTime]]:
    """Return execution seconds by processor, by kind of machine, and of each instance that is shown."""
    models: dict[tuple[str, float], float] = {}
    specifications: dict[str, float] = {}
    each = []
    for row in (*reversed(view.ended), *view.live):
        seconds = _execution(row, now) / SECOND
        offer = view.offers.get(row.node_id or 0)
        machine = (
            _machine_of(row.details)
            if offer is None
            else _Machine(offer.cpu_model, offer.frequency_ghz, offer.specification_key)
        )
        each.append(
            InstanceTime(
                instance_id=row.number,
                specification_key=machine.specification_key,
                site_uuid="",
                time=seconds,
                time_ghz=seconds * machine.frequency_ghz,
                clock_ratio=1.0,
            )
        )
        if machine.cpu_model:
            key = (machine.cpu_model, machine.frequency_ghz)
            models[key] = models.get(key, 0.0) + seconds
        if machine.specification_key:
            specifications[machine.specification_key] = specifications.get(machine.specification_key, 0.0) + seconds
    return models, specifications, each


class _Details(msgspec.Struct):
    cpu_model: str = ""
    frequency_ghz: float = 0.0
    specification_key: str = ""
    notes: list[str] = []


_details = msgspec.json.Decoder(_Details)
_NO_MACHINE: Final = _Machine()


def _machine_of(details: str | None) -> _Machine:
    if not details:
        return _NO_MACHINE
    told = _details.decode(details)
    return _Machine(told.cpu_model, told.frequency_ghz, told.specification_key, tuple(told.notes))


def _execution(row: InstanceRow, now: int) -> int:
    """Return how long the command ran, or has run until now."""
    return _between(row.started_at, row.exited_at or row.ended_at or now)


def _between(begin: int | None, end: int | None) -> int:
    return 0 if begin is None or end is None else max(0, end - begin)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _whole(cores: float) -> int:
    """Return cores as a whole number; a part of one counts as one."""
    return int(-(-cores // 1))
