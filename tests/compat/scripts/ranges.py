"""Instances by advanced range, as the rendering samples ask for frames."""

from told import connect, named, tell, until_over

connection = connect()
task = connection.create_task(named("frames"), "docker-batch", 0)
task.advanced_range = "115-120"
task.constants["DOCKER_CMD"] = "echo frame ${FRAME_ID} ${INSTANCE_ID} of ${INSTANCE_COUNT}"
task.submit()
state = until_over(task)
again = connection.retrieve_task(task.uuid)
tell(
    state=state,
    lines=sorted(task.stdout().splitlines()),
    completed=sorted(done.instance_id for done in task.completed_instances),
    range=again.advanced_range,
    count=again.instancecount,
    succeeded_range=task.status.succeeded_range,
)
