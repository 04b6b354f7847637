"""A long task is aborted; a finished one takes an abort without complaint."""

from told import connect, named, raised, states_until, tell, until_over

connection = connect()
task = connection.create_task(named("long"), "docker-batch", 2)
task.constants["DOCKER_CMD"] = "sh -c 'echo begun; sleep 1000; echo never'"
task.submit()
states_until(task, "FullyExecuting")
while task.stdout().count("begun") < 2:
    states_until(task, "FullyExecuting")
task.abort()
state = until_over(task)

quick = connection.create_task(named("quick"), "docker-batch", 1)
quick.constants["DOCKER_CMD"] = "echo quick"
quick.submit()
until_over(quick)
refused = raised(quick.abort)
quick.update(True)

waiting = connection.create_task(named("timed"), "docker-batch", 1)
waiting.constants["DOCKER_CMD"] = "sleep 1000"
waiting.run(job_timeout=1)
tell(
    state=state,
    stdout=sorted(task.stdout().splitlines()),
    completed=sorted(done.state for done in task.completed_instances),
    abort_of_a_finished_one=refused,
    finished_one=quick.state,
    timed=until_over(waiting),
)
