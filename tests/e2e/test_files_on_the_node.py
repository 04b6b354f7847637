"""Resources that a node keeps: no instance changes what the next one reads, whoever it belongs to, and large ones cost
their room once."""

import itertools
import os
import re
import signal
from pathlib import Path

import pytest

from hearth.agent.mounts import Mounts
from tests.services.account import Account
from tests.services.platform import Platform, platform_with
from tests.services.process import await_true

_numbers = itertools.count(1)
LARGE = b"0123456789abcde\n" * (6 << 16)  # 6 MiB: enough for an overlay where overlays can be
MD5 = "md5sum data/large small | cut -d' ' -f1; "
WRITE = MD5 + "echo more >> data/large; echo more >> small; rm run.sh; mkdir run.sh; chmod 000 data; echo written"


def named(what: str) -> str:
    """Return a name that no other test has."""
    return f"node-{what}-{next(_numbers)}"


def make_bucket(user: Account) -> str:
    return user.make_bucket(named("in"), **{"data/large": LARGE, "small": "small", "run.sh": "#!/bin/sh\necho ran"})


def mounts(platform: Platform) -> list[str]:
    return Mounts().below(platform.data)


def other_account(platform: Platform) -> Account:
    email = f"{named('other')}@example.org"
    made = platform.run("account", "create", email)
    assert made.returncode == 0, made.stderr
    return platform.account(email, made.stdout.strip())


def test_what_an_instance_writes_into_its_resources_no_other_reads(each_platform: Platform) -> None:
    user, other = each_platform.account(), other_account(each_platform)
    bucket = make_bucket(user)
    first = user.run(WRITE, shell=True, instanceCount=3, resourceBuckets=[bucket])
    assert first["state"] == "Success", first["errors"]
    outputs = {user.stdout(first["uuid"], number) for number in range(3)}
    assert len(outputs) == 1, "an instance saw what another one wrote"
    assert outputs.pop().endswith("written\n")
    again = user.run(MD5 + "./run.sh", shell=True, resourceBuckets=[bucket])
    theirs = other.run(MD5 + "./run.sh", shell=True, resourceBuckets=[make_bucket(other)])
    assert again["state"] == theirs["state"] == "Success", (again["errors"], theirs["errors"])
    assert user.stdout(again["uuid"], 0) == other.stdout(theirs["uuid"], 0)
    assert user.stdout(again["uuid"], 0).endswith("ran\n")
    assert user.file(bucket, "small") == "small"
    each_platform.wait(lambda: mounts(each_platform) == [], "nothing stays mounted")


def test_results_of_large_resources_are_what_was_created_or_edited(anyone: Account) -> None:
    bucket, results = make_bucket(anyone), named("out")
    task = anyone.run(
        "echo edited > small; echo new > data/new; touch data/large; mv run.sh moved.sh",
        shell=True,
        resourceBuckets=[bucket],
        resultBucket=results,
    )
    assert task["state"] == "Success", task["errors"]
    assert anyone.files(results) == {"small": "edited\n", "data/new": "new\n", "moved.sh": "#!/bin/sh\necho ran"}


def test_links_that_instances_put_in_place_of_resources_lead_nowhere(anyone: Account) -> None:
    bucket, results = make_bucket(anyone), named("out")
    task = anyone.run(
        "rm small; ln -s /etc/passwd small; mv data moved; ln -s / data; echo mine > mine",
        shell=True,
        resourceBuckets=[bucket],
        resultBucket=results,
    )
    assert task["state"] == "Success", task["errors"]
    assert sorted(anyone.keys(results)) == ["mine", "moved/large"]


def test_names_that_clash_after_stripping_belong_to_the_last_bucket(user: Account) -> None:
    first = user.make_bucket(named("first"), **{"a/x": "first a/x", "/y": "first /y", "y": "first y", "z": "first z"})
    second = user.make_bucket(named("second"), **{"b/x": "second b/x", "b//y": "second b//y", "b/": "", "c": "c"})
    task = user.run(
        "for f in $(find . -type f | sort); do echo $f $(cat $f); done",
        shell=True,
        advancedResourceBuckets=[
            {"bucketName": first, "resourcesTransformation": {"stripPrefix": {"prefix": "a/"}}},
            {
                "bucketName": second,
                "filtering": {"prefixFiltering": {"prefix": "b/"}},
                "resourcesTransformation": {"stripPrefix": {"prefix": "b/"}},
            },
        ],
    )
    assert task["state"] == "Success", task["errors"]
    assert user.stdout(task["uuid"], 0) == "./x second b/x\n./y second b//y\n./z first z\n"


@pytest.mark.parametrize("runtime", ["process", pytest.param("sandbox", marks=pytest.mark.sandbox)])
def test_a_run_keeps_its_resources_when_its_agent_is_killed(request: pytest.FixtureRequest, runtime: str) -> None:
    with platform_with(request, runtime) as platform:
        user = platform.account()
        bucket, results = make_bucket(user), named("out")
        uuid = user.submit(
            MD5 + "echo begun; while [ ! -f go ]; do sleep 0.05; done; " + MD5 + "echo edited > small",
            shell=True,
            resourceBuckets=[bucket],
            resultBucket=results,
        )
        before = user.await_stdout(uuid, "begun")
        shown = mounts(platform)
        agent = platform.kill("agent")
        platform.await_another("agent", agent)
        user.put(bucket, {"go": ""})
        assert user.api.patch(f"/tasks/{uuid}").status_code == 200
        task = user.await_end(uuid)
        assert task["state"] == "Success", task["errors"]
        after = re.sub("^0> begun\n", "", user.stdout(uuid).removeprefix(before.partition("0> begun")[0]))
        assert after == before.partition("0> begun")[0]
        assert user.files(results) == {"small": "edited\n"}
        assert len(shown) == (1 if "overlays" in (platform.data / "run/agent.json").read_text() else 0)
        platform.wait(lambda: mounts(platform) == [], "nothing stays mounted")


def test_a_node_that_died_with_everything_leaves_no_mount_to_the_next_start(own_platform: Platform) -> None:
    own_platform.start()
    user = own_platform.account()
    uuid = user.submit("echo begun; sleep 600", shell=True, resourceBuckets=[make_bucket(user)])
    user.await_stdout(uuid, "begun")
    for role in ("up", "agent", "server", "spawner"):
        own_platform.kill(role)  # type: ignore[arg-type]
    for pid in own_platform.processes():
        os.kill(pid, signal.SIGKILL)
    own_platform.start()
    own_platform.account().post(f"/tasks/{uuid}/abort")
    own_platform.account().await_end(uuid)
    own_platform.wait(lambda: mounts(own_platform) == [], "nothing stays mounted")
    runs = Path(own_platform.data / "node/runs")
    own_platform.wait(lambda: list(runs.glob("*/upper")) == [], "nothing of the run is left")


def test_a_file_that_grows_while_it_is_uploaded_is_in_the_snapshot_as_far_as_it_was(user: Account) -> None:
    results = named("out")
    uuid = user.submit(
        "head -c 16000000 /dev/zero > log; echo begun; i=0; "
        "while [ $i -lt 3000 ]; do echo line >> log; i=$((i+1)); sleep 0.01; done; sleep 600",
        shell=True,
        resultBucket=results,
    )
    user.await_stdout(uuid, "begun")
    name = user.post(f"/tasks/{uuid}/snapshot").json()["id"]
    path = f"/tasks/{uuid}/snapshot/{name}"
    await_true(lambda: user.api.get(path).json()["status"] in ("Success", "Failure"), what="it is over", seconds=30)
    told = user.api.get(path).json()
    assert (told["status"], told["errors"]) == ("Success", [])
    stored = user.s3.get_object(Bucket=results, Key="log")["Body"].read()
    assert stored.rstrip(b"line\n") == bytes(16_000_000)
    assert told["sizeToUpload"] == told["transferredSize"] == len(stored)
    user.post(f"/tasks/{uuid}/abort")
    user.await_end(uuid)
