"""A secret constant is for the instance alone: whatever goes wrong, nobody else reads it anywhere."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.services.account import Account, Json
from tests.services.platform import Platform

# In every one of them the same rare letters, so that a part of one is found too.
RARE = "9f8e7d6c"
VALUES = {"plain": f"tok-{RARE}-x", "quoted": f'it\'s "a" \\ {RARE} $x'}

WAYS: dict[str, dict[str, Any]] = {
    "bad command": {"command": "echo ${KEY} 'unclosed"},
    "no such command": {"command": "${KEY}"},
    "no such command in a folder": {"command": "/bin/${KEY}/x"},
    "exit 1": {"command": 'echo "$KEY"; echo "it was $QARNOT_SECRET__KEY" >&2; exit 1', "shell": True},
    "bad filter": {"command": "true", "resultBucket": "secrets", "resultsWhitelist": "[${KEY}"},
    "bad image": {"command": "true", "constants": {"DOCKER_REPO": "${KEY}"}},
    "no image": {"command": "true", "constants": {"DOCKER_REPO": "x/y", "DOCKER_TAG": "${KEY}"}},
    "bad registry": {"command": "true", "constants": {"DOCKER_REPO": "x", "DOCKER_SRV": "http://[${KEY}"}},
    "no registry": {
        "command": "true",
        "constants": {
            "DOCKER_REPO": "x",
            "DOCKER_SRV": "http://127.0.0.1:9",
            "DOCKER_REGISTRY_LOGIN": "${KEY}",
            "DOCKER_REGISTRY_PASSWORD": "${KEY}",
        },
    },
    "bad host": {"command": "true", "constants": {"DOCKER_HOST": "${KEY}!"}},
    "bad user": {"command": "true", "constants": {"DOCKER_USER": "${KEY}"}},
    "bad folder": {"command": "false", "constants": {"DOCKER_WORKDIR": "/proc/${KEY}"}},
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_secret_is_read_nowhere_whatever_goes_wrong(anyone: Account, each_platform: Platform, kind: str) -> None:
    value = VALUES[kind]
    tasks: dict[str, Json] = {}
    for way, asked in WAYS.items():
        given = {**asked.get("constants", {}), "QARNOT_SECRET__KEY": value}
        more = {name: told for name, told in asked.items() if name not in ("command", "constants")}
        tasks[way] = anyone.run(asked["command"], constants=given, name=way, **more)
    assert tasks["exit 1"]["state"] == tasks["no such command"]["state"] == "Failure"
    assert all(task["errors"] for task in tasks.values() if task["state"] == "Failure")
    assert len([task for task in tasks.values() if task["state"] == "Failure"]) >= 5

    failed = tasks["exit 1"]
    assert "[SECRET]" in str(failed["errors"])  # the last words are told, without it
    assert {"key": "QARNOT_SECRET__KEY", "value": "[SECRET]"} in failed["constants"]
    assert anyone.stdout(failed["uuid"]) == f"0> {value}\n"  # what the instance itself says is its own
    for way, task in tasks.items():
        uuid = task["uuid"]
        for path in ("", "/instances", "/why", "/events"):
            assert RARE not in anyone.api.get(f"/tasks/{uuid}{path}").text.lower(), (way, path)
        again = anyone.post(f"/tasks/{uuid}/clone").json()["uuid"]
        assert RARE not in anyone.api.get(f"/tasks/{again}").text.lower(), way
        anyone.post(f"/tasks/{again}/abort")
        echoed = anyone.api.put(f"/tasks/{uuid}", json={"constants": task["constants"]})
        assert echoed.status_code == 200 and RARE not in echoed.text
        assert RARE not in anyone.api.get(f"/tasks/{uuid}").text.lower(), way
    for path in ("/tasks", "/tasks/summaries", "/info", "/metrics", "/openapi.json", "/hardware-constraints"):
        assert RARE not in anyone.api.get(path).text.lower(), path
    for path in ("/tasks/search", "/tasks/paginate", "/tasks/summaries/paginate"):
        assert RARE not in anyone.post(path, {}).text.lower(), path
        shown = anyone.post(path, {"select": {"fields": ["constants", "errors"]}})
        assert RARE not in shown.text.lower(), path
    logs = [each_platform.said(), *(log.read_text() for log in (each_platform.data / "log").glob("*.log"))]
    assert len(logs) > 1 and all(RARE not in log.lower() for log in logs)
    assert_not_in_rows(each_platform.data)


def assert_not_in_rows(data: Path) -> None:
    """Only the specification and the output may have it, and both are shown to no one as they are."""
    rows = sqlite3.connect(f"file:{data / 'hearth.db'}?mode=ro", uri=True)
    names = [row[0] for row in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert {"instances", "attempts", "history", "tasks"} <= set(names)
    for name in names:
        if name in ("chunks", "blobs"):
            continue
        cursor = rows.execute(f'SELECT * FROM "{name}"')
        columns = [column[0] for column in cursor.description]
        for row in cursor:
            told = {c: v for c, v in zip(columns, row, strict=True) if (name, c) != ("tasks", "spec")}
            assert RARE not in str(told).lower(), (name, told)
    rows.close()


def test_an_instance_finds_its_secret_under_both_names_and_in_its_command(anyone: Account) -> None:
    task = anyone.run(
        "sh -c 'echo $KEY $QARNOT_SECRET__KEY; echo \"$0\"' ${KEY}", constants={"QARNOT_SECRET__KEY": "tok-1"}
    )
    assert anyone.stdout(task["uuid"], 0) == "tok-1 tok-1\ntok-1\n"
