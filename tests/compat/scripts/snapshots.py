"""What a task has made so far, at once and every second, with filters and prefixes."""

import os
import time

from told import FOLDER, connect, named, raised, states_until, tell, until_over

MAKE = (
    "sh -c 'echo part $INSTANCE_ID > part-$INSTANCE_ID.txt; echo no > scratch.tmp; echo made; "
    "while [ ! -f go ]; do sleep 0.05; done'"
)


SHOWN = ("status", "task_uuid", "size_to_upload", "transferred_size")


def keys_until(bucket, wanted):
    """List a bucket until it has these keys; return all that it has."""
    deadline = time.monotonic() + 60
    while True:
        keys = sorted(entry.key for entry in bucket.list_files())
        if set(wanted) <= set(keys):
            return keys
        assert time.monotonic() < deadline, keys
        time.sleep(0.1)


def made(name, count, whitelist=None):
    task = connection.create_task(named(name), "docker-batch", count)
    task.constants["DOCKER_CMD"] = MAKE
    task.resources.append(resources)
    task.results = connection.create_bucket(named(name + "-out"))
    task.snapshot_whitelist = whitelist
    return task


def until_made(task, count):
    states_until(task, "FullyExecuting")
    deadline = time.monotonic() + 60
    while task.stdout().count("made") < count:
        assert time.monotonic() < deadline, task.stdout()
        time.sleep(0.05)


def followed(task, snapshot_id):
    """Wait for a snapshot with those clients that can; return whether it is told as it should."""
    if not hasattr(task, "snapshot_status"):
        return True
    task.wait_snapshot(snapshot_id, timeout=60)
    snapshot = task.snapshot_status(snapshot_id)
    # The official class shows nothing of it in public.
    told = {name: getattr(snapshot, "_" + name, None) or getattr(snapshot, name) for name in SHOWN}
    return snapshot_id.startswith("snap_" + task.uuid) and [
        type(told["status"]).__name__,
        told["task_uuid"],
        told["size_to_upload"],
        told["transferred_size"],
    ] == ["SuccessStatus", task.uuid, 14, 14]


connection = connect()
resources = connection.create_bucket(named("in"))
once = made("once", 2, whitelist=r"part-\d+\.txt")
once.submit()
until_made(once, 2)
snapshot_id = once.instant()
at_once = keys_until(once.results, ["part-0.txt", "part-1.txt"])
snapshot_is_told = followed(once, snapshot_id)
folder = os.path.join(FOLDER, "snapshot")
os.mkdir(folder)
once.update(True)
once.download_results(folder)
downloaded = sorted(os.listdir(folder))

go = os.path.join(FOLDER, "go")
open(go, "w").close()
resources.add_file(go, "go")
once.update_resources()
ends = [until_over(once)]

resources.delete_file("go")  # machines have room for few: the second task begins when the first is over
often = made("often", 1)
often.snapshot(1)
often.submit()
until_made(often, 1)
every_second = keys_until(often.results, ["part-0.txt", "scratch.tmp"])
resources.add_file(go, "go")
often.update_resources()
ends.append(until_over(often))
tell(
    at_once=at_once,
    snapshot_is_told=snapshot_is_told,
    downloaded_while_running=downloaded,
    every_second=every_second,
    ends=ends,
    at_the_end=sorted(entry.key for entry in once.results.list_files()),
    after_the_end=raised(once.instant),
    bad_interval=raised(often.snapshot, -1),
)
