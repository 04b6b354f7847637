"""Four instances, their states while they run, and their output as it comes."""

import time

from told import FINAL, connect, named, tell

ORDER = [
    "Submitted",
    "PartiallyDispatched",
    "FullyDispatched",
    "PartiallyExecuting",
    "FullyExecuting",
    "UploadingResults",
    "Success",
]

connection = connect()
task = connection.create_task(named("four"), "docker-batch", 4)
task.constants["DOCKER_CMD"] = "sh -c 'echo start $INSTANCE_ID of ${INSTANCE_COUNT}; sleep 1; echo end ${INSTANCE_ID}'"
task.submit()
fresh = running = ""
states = []
information = set()
deadline = time.monotonic() + 60
while not states or states[-1] not in FINAL:
    assert time.monotonic() < deadline, states
    task.update(True)
    if not states or states[-1] != task.state:
        states.append(task.state)
    fresh += task.fresh_stdout()
    if task.state == "FullyExecuting":
        running = running or fresh
    if task.status is not None and task.state in ("PartiallyExecuting", "FullyExecuting"):
        for instance in task.status.running_instances_info.per_running_instance_info:
            information.add(instance.instance_id)
            assert list(instance.active_forward) == []
fresh += task.fresh_stdout()
positions = [ORDER.index(state) for state in states]
tell(
    end=states[-1],
    executed=bool({"PartiallyExecuting", "FullyExecuting"} & set(states)),
    in_order=positions == sorted(positions),
    fresh_came_while_running="start" in running,
    fresh_is_whole=fresh == task.stdout(),
    nothing_more=task.fresh_stdout(),
    lines=sorted(fresh.splitlines()),
    some_were_seen_running=information <= {0, 1, 2, 3} and len(information) > 0,
    completed=sorted([done.instance_id, done.state] for done in task.completed_instances),
    executed_range=task.status.executed_range,
    succeeded_range=task.status.succeeded_range,
    failed_range=task.status.failed_range,
    errors=len(task.errors),
)
