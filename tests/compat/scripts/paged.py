"""Pages of tasks, tasks by several tags, hardware that there is (for clients that have pages)."""

from told import connect, named, tell, until_over

connection = connect()
made = []
for number in range(5):
    task = connection.create_task(named(f"paged{number}"), "docker-batch", 1)
    task.constants["DOCKER_CMD"] = "true"
    task.tags = [named("all"), named("even" if number % 2 == 0 else "odd")]
    task.submit()
    made.append(task)
for task in made:
    until_over(task)


def short(tasks):
    return [task.name.removeprefix(named("")) for task in tasks]


pages = []
token = None
while True:
    page = connection.tasks_page(token=token, maximum=2, tags=[named("all")])
    pages.append(short(page.page_data))
    token = page.next_token
    if not page.is_truncated:
        break
hardware = connection.hardware_constraints_page(limit=1)
tell(
    pages=pages,
    every=short(connection.all_tasks(tags=[named("all")])),
    whole=short(connection.all_tasks(summary=False, tags=[named("odd")])),
    both=short(connection.all_tasks(tags_intersect=[named("all"), named("even")])),
    hardware=[len(hardware.page_data), hardware.limit, hardware.offset, hardware.total >= 1],
    all_hardware=len(list(connection.all_hardware_constraints())) == hardware.total,
)
