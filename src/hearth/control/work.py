"""What an agent must know of a task to run its instances."""

from __future__ import annotations

from hearth.control.site import Site
from hearth.domain.profile import Profile
from hearth.store.queries.tasks import TaskRow
from hearth.wire import agent as wire


def work(site: Site, task: TaskRow) -> wire.Work:
    """Return the task as agents see it: the profile's constants under its own, forced ones on top."""
    spec = task.parsed_spec()
    # A profile that was taken away meanwhile does not take its tasks with it.
    profile = site.profiles.get(task.profile) or Profile(task.profile)
    forced = {str(c["constantName"]): str(c["forcedValue"]) for c in spec.forced_constants if "constantName" in c}
    return wire.Work(
        task=task.id,
        uuid=task.uuid,
        total=spec.counted_as or task.instance_total,
        constants=profile.defaults() | spec.constants | forced,
        platform={
            "TASK_UUID": task.uuid,
            "QARNOT_TASK_UUID": task.uuid,
            "QARNOT_COMPUTE_API_URL": site.api_url,
            "QARNOT_STORAGE_API_URL": site.storage_url,
        },
        network=profile.network,
        cores=task.demand_cores,
        memory_bytes=task.demand_memory,
        resources=[wire.Resource(r.name, r.prefix, r.strip_prefix) for r in spec.resources],
        has_results=bool(spec.result_bucket),
        results_whitelist=spec.results_whitelist,
        results_blacklist=spec.results_blacklist,
        upload_on_cancel=bool(spec.upload_on_cancel),
        default_image=site.settings.default_image,
        output_bytes=site.settings.output_limit_instance_mb << 20,
    )
