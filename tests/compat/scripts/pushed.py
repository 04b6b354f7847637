"""A running task gets new files, new constants and new tags."""

import os

from told import FOLDER, connect, named, raised, states_until, tell, until_over


def put(bucket, name, text):
    path = os.path.join(FOLDER, name)
    with open(path, "w") as file:
        file.write(text)
    bucket.add_file(path, name)


connection = connect()
resources = connection.create_bucket(named("in"))
put(resources, "first.txt", "first")
task = connection.create_task(named("pushed"), "docker-batch", 2)
task.constants["DOCKER_CMD"] = (
    "sh -c 'while [ ! -f go ]; do sleep 0.05; done; "
    'while [ "$(cat first.txt)" != changed ]; do sleep 0.05; done; cat first.txt new.txt\''
)
task.resources.append(resources)
task.results = connection.create_bucket(named("out"))
task.submit()
states_until(task, "FullyExecuting")
put(resources, "first.txt", "changed")
put(resources, "new.txt", " and new")
task.update_resources()
task.auto_update = False
task.tags = [named("pushed")]
task.constants["NUMBER"] = "7"
task.commit()
again = connection.retrieve_task(task.uuid)
put(resources, "go", "")
task.update_resources()
state = until_over(task)
tell(
    state=state,
    stdout=sorted(task.stdout().splitlines()),
    results=sorted(entry.key for entry in task.results.list_files()),
    tags=[tag.removeprefix(named("")) for tag in again.tags],
    number=dict(again.constants)["NUMBER"],
    command_is_kept="while" in dict(again.constants)["DOCKER_CMD"],
    found=[found.uuid == task.uuid for found in connection.tasks(tags=[named("pushed")])],
    push_after_the_end=raised(task.update_resources),
)
