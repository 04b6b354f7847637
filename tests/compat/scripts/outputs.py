"""The output of each instance (for clients that can ask for it)."""

from told import connect, named, raised, tell, until_over

connection = connect()
task = connection.create_task(named("spoken"), "docker-batch", 3)
task.constants["DOCKER_CMD"] = "sh -c 'echo out $INSTANCE_ID; echo err $INSTANCE_ID >&2'"
task.submit()
state = until_over(task)
tell(
    state=state,
    stdout=[task.stdout(number) for number in range(3)],
    stderr=[task.stderr(number) for number in range(3)],
    fresh=[task.fresh_stdout(1), task.fresh_stdout(1), task.fresh_stderr(2), task.fresh_stderr(2)],
    fresh_of_all=[sorted(task.fresh_stdout().splitlines()), task.fresh_stdout()],
    absent=[raised(task.stdout, 3), raised(task.fresh_stderr, 3)],
)
