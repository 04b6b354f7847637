"""Many tasks in one call; what is wrong with one is told, and the others run."""

from told import connect, named, tell, until_over


def a_task(name, profile="docker-batch"):
    task = connection.create_task(named(name), profile, 2)
    task.constants["DOCKER_CMD"] = "echo " + name + " ${INSTANCE_ID}"
    return task


connection = connect()
tasks = [a_task(f"bulk{number}") for number in range(5)]
connection.submit_tasks(tasks)
states = [until_over(task) for task in tasks]
good, bad = a_task("good"), a_task("bad", "no-such-profile")
try:
    connection.submit_tasks([good, bad])
    refusal, kind = "", ""
except Exception as error:
    refusal, kind = str(error), type(error).__name__
tell(
    states=states,
    lines=[sorted(task.stdout().splitlines()) for task in tasks],
    different=len({task.uuid for task in tasks}),
    refusal=kind,
    refusal_tells_the_profile="no-such-profile" in refusal,
    good=[until_over(task) for task in connection.tasks() if task.name == named("good")],
    bad=[task.name for task in connection.tasks() if task.name == named("bad")],
)
