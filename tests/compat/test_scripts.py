"""The same scripts with official clients, unmodified, and with our own SDK: the same answers, and the right ones."""

from typing import Any

import pytest

from tests.compat.conftest import OFFICIAL, OURS, Clients

TWENTY = 20 << 20
SCRIPT = '#!/bin/sh\nexec 2>&1\necho "script of $INSTANCE_ID"; cat data/deep/a.txt\n'

EXPECTED: dict[str, dict[str, Any]] = {
    "hello": {
        "stdout": "0> hello world from 0!\n",
        "stderr": "",
        "state": "Success",
        "profile": "ubuntu",
        "count": 1,
    },
    "instances": {
        "end": "Success",
        "executed": True,
        "in_order": True,
        "fresh_came_while_running": True,
        "fresh_is_whole": True,
        "nothing_more": "",
        "lines": sorted(f"{n}> {line}" for n in range(4) for line in (f"start {n} of 4", f"end {n}")),
        "some_were_seen_running": True,
        "completed": [[0, "Success"], [1, "Success"], [2, "Success"], [3, "Success"]],
        "executed_range": "0-3",
        "succeeded_range": "0-3",
        "failed_range": "",
        "errors": 0,
    },
    "files": {
        "state": "Success",
        "emptied": ["one.txt"],
        "listed": [["data/deep/a.txt", 15], ["one.txt", 1], ["script.sh", len(SCRIPT)], ["twenty.bin", TWENTY]],
        "parts_in_etag": "3",
        "downloaded": {
            **{f"out-{n}.txt": f"script of {n}\nthe first file\n" for n in range(2)},
            **{f"sub/dir/{n}": f"{n}\n" for n in range(2)},
            **{f"copy-{n}.bin": TWENTY for n in range(2)},
        },
        "got": "script of 1\nthe first file\n",
        "of_instances": [[n, [f"copy-{n}.bin", f"out-{n}.txt", f"sub/dir/{n}"]] for n in range(2)],
        "buckets_before": ["in", "out"],
        "buckets_after": [],
        "tasks_after": [],
    },
    "ranges": {
        "state": "Success",
        "lines": [f"{n}> frame {n} {n} of 6" for n in range(115, 121)],
        "completed": [115, 116, 117, 118, 119, 120],
        "range": "115-120",
        "count": 0,
        "succeeded_range": "115-120",
    },
    "bulk": {
        "states": ["Success"] * 5,
        "lines": [[f"0> bulk{n} 0", f"1> bulk{n} 1"] for n in range(5)],
        "different": 5,
        "refusal": "QarnotGenericException",
        "refusal_tells_the_profile": True,
        "good": ["Success"],
        "bad": [],
    },
    "failing": {
        "exits": "Failure",
        "exits_errors": [True, True, True],
        "exits_output": ["0> out\n", "0> err\n"],
        "exits_completed": [[0, "Failure"]],
        "exits_code_is_told": True,
        "absent": "Failure",
        "absent_errors": [True, True, True],
        "partly": "Failure",
        "partly_errors": [True, True, True],
        "partly_completed": [[0, "Success"], [1, "Failure"], [2, "Success"]],
        "partly_succeeded": "0,2",
        "partly_failed": "1",
    },
    "abort": {
        "state": "Cancelled",
        "stdout": ["0> begun", "1> begun"],
        "completed": ["Cancelled", "Cancelled"],
        "abort_of_a_finished_one": None,
        "finished_one": "Success",
        "timed": "Cancelled",
    },
    "lookups": {
        "names": ["tagged0", "tagged1"],
        "retrieved": ["tagged1", "Success", "1", "docker-batch"],
        "tags_after_commit": ["b", "new"],
        "by_tag": {
            "a": ["tagged0"],
            "a or c": ["tagged0", "tagged2"],
            "b and new": ["tagged1"],
            "a and b": [],
            "whole": ["tagged0", "tagged1", "tagged2"],
        },
        "contents": ["copy.txt", "folder/b.txt", "folder/deep/c.txt"],
        "folder": ["folder/b.txt", "folder/deep/c.txt"],
        "copied": ["copy.txt", "folder/b.txt", "folder/deep/c.txt"],
        "bucket": [True, 1],
        "bucket_gone": 0,
        "profiles": ["docker-batch", "docker-network", "ubuntu"],
        "profile": ["docker-batch", True],
        "user": ["me@localhost", True, True, True, True],
        "missing_task": "MissingTaskException",
        "deleted_task": "MissingTaskException",
        "missing_bucket": "MissingBucketException",
        "missing_profile": "QarnotGenericException",
        "bad_token": "UnauthorizedException",
    },
    "pushed": {
        "state": "Success",
        "stdout": ["0> changed and new", "1> changed and new"],
        "results": [],
        "tags": ["pushed"],
        "number": "7",
        "command_is_kept": True,
        "found": [True],
        "push_after_the_end": "QarnotGenericException",
    },
    "snapshots": {
        "at_once": ["part-0.txt", "part-1.txt"],
        "snapshot_is_told": True,
        "downloaded_while_running": ["part-0.txt", "part-1.txt"],
        "every_second": ["part-0.txt", "scratch.tmp"],
        "ends": ["Success", "Success"],
        "at_the_end": ["part-0.txt", "part-1.txt", "scratch.tmp"],
        "after_the_end": "QarnotGenericException",
        "bad_interval": "ValueError",
    },
}

# For the clients that know these names: not 2.4.1.
EXPECTED_SINCE: dict[str, dict[str, Any]] = {
    "retried": {
        "states": ["Failure", "Failure", "Success"],
        "tries": 6,
        "attempts": [3, 3],
        "tries_of_all": 5,
        "good": ["Success", 1, True, True, True, ["file"]],
        "settings": [2, 2],
    },
    "outputs": {
        "state": "Success",
        "stdout": [f"out {n}\n" for n in range(3)],
        "stderr": [f"err {n}\n" for n in range(3)],
        "fresh": ["out 1\n", "", "err 2\n", ""],
        "fresh_of_all": [[f"{n}> out {n}" for n in range(3)], ""],
        "absent": ["MissingTaskInstanceException"] * 2,
    },
    "paged": {
        "pages": [["paged4", "paged3"], ["paged2", "paged1"], ["paged0"]],
        "every": [f"paged{n}" for n in (4, 3, 2, 1, 0)],
        "whole": ["paged3", "paged1"],
        "both": ["paged4", "paged2", "paged0"],
        "hardware": [1, 1, 0, True],
        "all_hardware": True,
    },
}


@pytest.mark.parametrize("script", [*EXPECTED, *EXPECTED_SINCE])
def test_every_client_gets_the_same_answers(clients: Clients, script: str) -> None:
    if script in EXPECTED_SINCE:
        clients = clients.without("2.4.1")
        expected = EXPECTED_SINCE[script]
    else:
        expected = EXPECTED[script]
    answers = clients.answers(script)
    assert list(answers) == [client for client in (*OFFICIAL, OURS) if client in clients.pythons]
    others = {
        (client, name): (told.get(name), expected.get(name))
        for client, told in answers.items()
        for name in {**told, **expected}
        if told.get(name) != expected.get(name)
    }
    assert others == {}
