"""A command that fails, one that is not there, and one instance of three that fails."""

from told import connect, named, tell, until_over


def run(name, command, count=1):
    task = connection.create_task(named(name), "docker-batch", count)
    task.constants["DOCKER_CMD"] = command
    task.submit()
    return until_over(task), task


def errors_of(task):
    error = task.errors[0]
    return [bool(error.code), bool(error.message), hasattr(error, "debug")]


connection = connect()
exits, exiting = run("exits", "sh -c 'echo out; echo err >&2; exit 3'")
absent, missing = run("absent", "no-such-command-anywhere")
partly, one = run("partly", "sh -c 'test $INSTANCE_ID != 1'", 3)
tell(
    exits=exits,
    exits_errors=errors_of(exiting),
    exits_output=[exiting.stdout(), exiting.stderr()],
    exits_completed=[[done.instance_id, done.state] for done in exiting.completed_instances],
    exits_code_is_told="3" in exiting.errors[0].message,
    absent=absent,
    absent_errors=errors_of(missing),
    partly=partly,
    partly_errors=errors_of(one),
    partly_completed=sorted([done.instance_id, done.state] for done in one.completed_instances),
    partly_succeeded=one.status.succeeded_range,
    partly_failed=one.status.failed_range,
)
