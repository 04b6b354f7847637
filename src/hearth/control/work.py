"""What an agent must know of a task to run its instances."""

from __future__ import annotations

from hearth.control.site import Site
from hearth.domain.constants import effective, run_seconds, unexported
from hearth.domain.errors import Invalid
from hearth.domain.profile import Profile
from hearth.domain.spec import ResourceBucket, TaskSpec
from hearth.store.queries.tasks import TaskRow
from hearth.wire import agent as wire

CACHE_TTL_SECONDS = 7_776_000  # contract: where neither the bucket nor the task says another


def work(site: Site, task: TaskRow) -> wire.Work:
    """Return the task as agents see it: the profile's constants under its own, forced ones on top."""
    spec = task.parsed_spec()
    # A profile that was taken away meanwhile does not take its tasks with it.
    profile = site.profiles.get(task.profile) or Profile(task.profile)
    return wire.Work(
        task=task.id,
        uuid=task.uuid,
        total=spec.counted_as or task.instance_total,
        constants=effective(profile, spec),
        unexported=unexported(spec),
        platform={
            "TASK_UUID": task.uuid,
            "QARNOT_TASK_UUID": task.uuid,
            "QARNOT_COMPUTE_API_URL": site.api_url,
            "QARNOT_STORAGE_API_URL": site.storage_url,
        },
        network=profile.network,
        cores=task.demand_cores,
        memory_bytes=task.demand_memory,
        resources=[wire.Resource(r.name, r.prefix, r.strip_prefix, _cache_ttl(r, spec)) for r in spec.resources],
        resources_version=task.resources_version,
        has_results=bool(spec.result_bucket),
        results_whitelist=spec.results_whitelist,
        results_blacklist=spec.results_blacklist,
        upload_on_cancel=bool(spec.upload_on_cancel),
        default_image=site.settings.default_image,
        output_bytes=site.settings.output_limit_instance_mb << 20,
        run_seconds=_run_seconds(profile, spec),
    )


def _cache_ttl(resource: ResourceBucket, spec: TaskSpec) -> int:
    for told in (resource.cache_ttl_seconds, spec.default_cache_ttl_seconds):
        if told is not None:
            return max(1, told)  # 0 would say nothing
    return CACHE_TTL_SECONDS


def _run_seconds(profile: Profile, spec: TaskSpec) -> int:
    try:
        return run_seconds(profile, spec)
    except Invalid:
        return profile.max_wall_seconds  # the profile was changed since the task was submitted
