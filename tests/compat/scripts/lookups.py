"""Finding things again, and what is said about things that are not there."""

import os

from told import CONFIGURATION, FOLDER, connect, named, raised, tell, until_over

import qarnot

connection = connect()
mine = []
for number, tags in enumerate((["a"], ["a", "b"], ["c"])):
    task = connection.create_task(named(f"tagged{number}"), "docker-batch", 1)
    task.constants["DOCKER_CMD"] = "true"
    task.constants["NUMBER"] = str(number)
    task.tags = [named(tag) for tag in tags]
    task.submit()
    mine.append(task)
for task in mine:
    until_over(task)


def short(tasks):
    return sorted(task.name.removeprefix(named("")) for task in tasks if task.name.startswith(named("tagged")))


again = connection.retrieve_task(mine[1].uuid)
again.tags = [named("b"), named("new")]
again.commit()
third = connection.retrieve_task(mine[1].uuid)
by_tag = {
    "a": short(connection.tasks(tags=[named("a")])),
    "a or c": short(connection.tasks(tags=[named("a"), named("c")])),
    "b and new": short(connection.tasks(tags_intersect=[named("b"), named("new")])),
    "a and b": short(connection.tasks(tags_intersect=[named("a"), named("b")])),
    "whole": short(connection.tasks(summary=False)),
}
bucket = connection.create_bucket(named("kept"))
connection.create_bucket(named("kept"))
text = os.path.join(FOLDER, "text")
with open(text, "w") as file:
    file.write("some text")
for key in ("a.txt", "folder/b.txt", "folder/deep/c.txt"):
    bucket[key] = text
bucket.copy_file("a.txt", "copy.txt")
bucket.delete_file("a.txt")
contents = sorted(entry.key for entry in bucket.list_files())
folder = sorted(entry.key for entry in bucket.directory("folder/"))
found = connection.retrieve_bucket(named("kept"))
listed = [other.uuid for other in connection.buckets()].count(named("kept"))
everything = os.path.join(FOLDER, "everything")
os.mkdir(everything)
found.get_all_files(everything)
copied = sorted(
    os.path.relpath(os.path.join(where, name), everything) for where, _, names in os.walk(everything) for name in names
)
found.delete()

lost = connection.create_task(named("lost"), "docker-batch", 1)
lost.constants["DOCKER_CMD"] = "true"
lost.resources.append(qarnot.bucket.Bucket(connection, named("never-made"), False))
wrong = connection.create_task(named("wrong"), "no-such-profile", 1)
with open(CONFIGURATION) as file:
    url = next(line for line in file if line.startswith("url=")).removeprefix("url=").strip()
profile = connection.retrieve_profile("docker-batch")
user = connection.user_info
deleted = mine[2].uuid
mine[2].delete()
tell(
    names=short(connection.tasks()),
    retrieved=[again.name.removeprefix(named("")), again.state, dict(again.constants)["NUMBER"], again.profile],
    tags_after_commit=sorted(tag.removeprefix(named("")) for tag in third.tags),
    by_tag=by_tag,
    contents=contents,
    folder=folder,
    copied=copied,
    bucket=[found.uuid == named("kept"), listed],
    bucket_gone=[other.uuid for other in connection.buckets()].count(named("kept")),
    profiles=sorted(profile.name for profile in connection.profiles()),
    profile=[profile.name, "DOCKER_CMD" in dict(profile.constants)],
    user=[
        user.email,
        user.max_task > 0,
        user.max_bucket > 0,
        user.max_instances > 0,
        user.used_quota_bytes_bucket >= 0,
    ],
    missing_task=raised(connection.retrieve_task, "00000000-0000-4000-8000-000000000000"),
    deleted_task=raised(connection.retrieve_task, deleted),
    missing_bucket=raised(lost.submit),
    missing_profile=raised(wrong.submit),
    bad_token=raised(qarnot.connection.Connection, cluster_url=url, client_token="wrong"),
)
