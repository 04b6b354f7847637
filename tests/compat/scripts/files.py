"""Files in, files out, download, and everything purged at the end."""

import os

from told import FOLDER, connect, named, tell, until_over


def write(name, text):
    path = os.path.join(FOLDER, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def tree(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                content = file.read()
            found[os.path.relpath(path, folder)] = content.decode() if len(content) < 1000 else len(content)
    return found


connection = connect()
inputs = connection.create_bucket(named("in"))
inputs.add_file(write("script.sh", '#!/bin/sh\nexec 2>&1\necho "script of $INSTANCE_ID"; cat data/deep/a.txt\n'))
inputs["data/deep/a.txt"] = write("local.txt", "the first file\n")
inputs.add_file(write("twenty.bin", "x" * (20 << 20)), "twenty.bin")
inputs.sync_directory(write("folder/one.txt", "1").rpartition("/")[0])  # removes what is not in the folder
emptied = sorted(entry.key for entry in inputs.list_files())
inputs.add_file(os.path.join(FOLDER, "script.sh"))
inputs["data/deep/a.txt"] = os.path.join(FOLDER, "local.txt")
inputs.add_file(os.path.join(FOLDER, "twenty.bin"), "twenty.bin")
listed = sorted([entry.key, entry.size] for entry in inputs.list_files())
etags = {entry.key: entry.e_tag for entry in inputs.list_files()}

task = connection.create_task(named("files"), "docker-batch", 2)
task.resources.append(inputs)
task.results = connection.create_bucket(named("out"))
task.constants["SCRIPT"] = (
    "./script.sh > out-$INSTANCE_ID.txt; mkdir -p sub/dir; echo $INSTANCE_ID > sub/dir/$INSTANCE_ID; "
    "cp twenty.bin copy-$INSTANCE_ID.bin"
)
task.constants["DOCKER_CMD"] = "sh -c 'eval \"$SCRIPT\"'"
task.submit()
state = until_over(task)
results = os.path.join(FOLDER, "results")
os.mkdir(results)
task.download_results(results)
downloaded = tree(results)
one = os.path.join(FOLDER, "one-result")
task.results.get_file("out-1.txt", one)
with open(one) as file:
    got = file.read()
address = "s3://" + connection.s3client.meta.endpoint_url.partition("://")[2] + "/" + named("out") + "/"
of_instances = sorted(
    [done.instance_id, sorted(uri.removeprefix(address) for uri in done.results)] for done in task.completed_instances
)
buckets_before = sorted(bucket.uuid for bucket in connection.buckets() if bucket.uuid.startswith(named("")))
task.delete(purge_resources=True, purge_results=True)
buckets_after = sorted(bucket.uuid for bucket in connection.buckets() if bucket.uuid.startswith(named("")))
tell(
    state=state,
    emptied=emptied,
    listed=listed,
    parts_in_etag=etags["twenty.bin"].strip('"').rpartition("-")[2],
    downloaded=downloaded,
    got=got,
    of_instances=of_instances,
    buckets_before=[name.removeprefix(named("")) for name in buckets_before],
    buckets_after=buckets_after,
    tasks_after=[other.name for other in connection.tasks() if other.name == named("files")],
)
