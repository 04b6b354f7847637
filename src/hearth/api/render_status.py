"""How far a task is, in the contract's words: progress, times, ranges.

The times of all that is over are sums which the task carries; those of what runs now are added here.
"""

from __future__ import annotations

from collections.abc import Iterable

from hearth.api.render_instances import execution_of, running, whole
from hearth.control.usage import Usages
from hearth.domain.ranges import RangeSet
from hearth.store.queries.machines import Machine, machine_times
from hearth.store.queries.task_view import TaskView
from hearth_client.messages.task_status import (
    InstanceTime,
    ModelTime,
    ModelTimeGhz,
    SiteTime,
    SpecificationTime,
    TaskStatus,
)
from hearth_client.messages.times import format_date
from hearth_client.timespan import SECOND, format_timespan


def whole_seconds(microseconds: int) -> str:
    """Return a span without a fraction: scripts read these with %H:%M:%S."""
    return format_timespan(max(0, microseconds) // SECOND * SECOND)


def status(view: TaskView, usages: Usages, site_uuid: str, now: int) -> TaskStatus:
    """Return progress, times and ranges."""
    row = view.row
    total = max(1, row.instance_total)
    ended = view.ended_count
    exited = ended + row.uploading_count
    started = exited + row.running_count
    live = view.live_times
    download = row.download_microseconds + live.download
    environment = row.environment_microseconds + live.environment
    execution = row.execution_microseconds + live.execution
    upload = row.upload_microseconds + live.upload
    wall = max(0, (row.ended_at or now) - row.created_at)
    machines = _seconds_by_machine(view)
    cores = whole(row.demand_cores)
    moment = format_date(now)
    by_specification = _sums((kind.specification_key, t) for kind, t in machines.items())
    by_model = _sums((kind.cpu_model, t) for kind, t in machines.items())
    ghz_by_model = _sums((kind.cpu_model, t * kind.frequency_ghz) for kind, t in machines.items())
    return TaskStatus(
        timestamp=moment,
        last_update_timestamp=moment if row.ended_at is None else format_date(row.ended_at),
        download_progress=100.0 * started / total,
        execution_progress=100.0 * exited / total,
        upload_progress=100.0 * ended / total,
        instance_count=row.running_count,
        download_time=whole_seconds(download),
        download_time_sec=download / SECOND,
        environment_time=whole_seconds(environment),
        environment_time_sec=environment / SECOND,
        execution_time=whole_seconds(execution),
        execution_time_sec=execution / SECOND,
        upload_time=whole_seconds(upload),
        upload_time_sec=upload / SECOND,
        wall_time=whole_seconds(wall),
        wall_time_sec=wall / SECOND,
        execution_time_by_cpu_model=[ModelTime(model=model, time=t, core=cores) for model, t in by_model.items()],
        execution_time_ghz_by_cpu_model=[
            ModelTimeGhz(model=model, time_ghz=t, clock_ratio=1.0, core=cores) for model, t in ghz_by_model.items()
        ],
        execution_time_by_machine_specification=[
            SpecificationTime(specification_key=key, time=t) for key, t in by_specification.items()
        ],
        execution_time_by_site_and_machine=[
            SiteTime(site_uuid=site_uuid, specification_key=key, time=t) for key, t in by_specification.items()
        ],
        execution_time_by_instance_id=_each(view, site_uuid, now),
        succeeded_range=row.succeeded,
        executed_range=_union(row.succeeded, _union(row.failed, row.cancelled)),
        failed_range=_union(row.failed, row.cancelled),
        cancelled_range=row.cancelled,
        failed_only_range=row.failed,
        started_once_range=row.started,
        running_instances_info=running(view, usages, now),
    )


def _union(left: str, right: str) -> str:
    """Return two sets together; they are parsed only when there is something to do."""
    return str(RangeSet.parse(left) | RangeSet.parse(right)) if left and right else left or right


def _seconds_by_machine(view: TaskView) -> dict[Machine, float]:
    """Return execution seconds by kind of machine, of what is over and of what runs."""
    times = machine_times(view.row.machines)
    for machine_id, execution in view.live_times.by_machine.items():
        if machine_id is not None:
            times[machine_id] = times.get(machine_id, 0) + execution
    return {view.machines.get(machine_id, Machine()): time / SECOND for machine_id, time in times.items()}


def _sums(parts: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, part in parts:
        sums[name] = sums.get(name, 0.0) + part
    return sums


def _each(view: TaskView, site_uuid: str, now: int) -> list[InstanceTime]:
    """Return the execution time of each instance that is shown."""
    each = []
    for row in (*reversed(view.ended), *view.live):
        seconds = execution_of(row, now) / SECOND
        machine = view.machines.get(row.machine_id or 0) or Machine()
        each.append(
            InstanceTime(
                instance_id=row.number,
                specification_key=machine.specification_key,
                site_uuid=site_uuid,
                time=seconds,
                time_ghz=seconds * machine.frequency_ghz,
                clock_ratio=1.0,
            )
        )
    return each
