"""What a real command is given: its words, its variables, its folder."""

import pytest

from tests.services.account import Account
from tests.services.platform import ISOLATED, Platform

# Names that every instance has, whatever the runtime.
GIVEN = [
    "INSTANCE_ID",
    "INSTANCE_COUNT",
    "FRAME_ID",
    "QRANK",
    "QSIZE",
    "TASK_PATH",
    "QARNOT_RESOURCES_DIRECTORY",
    "QARNOT_RESULTS_DIRECTORY",
    "DOCKER_WORKDIR",
    "TMP_PATH",
    "TMP_RAMFS_PATH",
    "QARNOT_COMPUTE_API_URL",
    "QARNOT_STORAGE_API_URL",
]


def lines(account: Account, command: str, **fields: object) -> list[str]:
    """Run a task of one instance; return the lines of its output."""
    task = account.run(command, **fields)
    assert task["state"] == "Success", (task["errors"], account.stderr(task["uuid"]))
    return account.stdout(task["uuid"], task["completedInstances"][0]["instanceId"]).splitlines()


def words(account: Account, command: str, **fields: object) -> list[str]:
    """Return the words that a command's arguments became."""
    return lines(account, f"sh -c 'for word; do echo \"<$word>\"; done' sh {command}", **fields)


def variables(account: Account, **fields: object) -> dict[str, str]:
    """Return the environment of an instance."""
    found = {}
    for line in lines(account, "env", **fields):
        name, equals, value = line.partition("=")
        if equals:
            found[name] = value
    return found


def test_every_instance_has_the_documented_variables(anyone: Account) -> None:
    found = variables(
        anyone, advancedRanges="7", constants={"MINE": "my value", "WITH-DASH.dot": "also", "NUMBER": "26"}
    )
    assert [name for name in GIVEN if name not in found] == []
    assert {name: found[name] for name in ("INSTANCE_ID", "FRAME_ID", "QRANK")} == {
        "INSTANCE_ID": "7",
        "FRAME_ID": "7",
        "QRANK": "7",
    }
    assert (found["INSTANCE_COUNT"], found["QSIZE"]) == ("1", "1")
    assert (found["MINE"], found["NUMBER"]) == ("my value", "26")
    assert found["WITH-DASH.dot"] == "also"
    assert found["DOCKER_TAG"] == "latest"
    folders = {found[name] for name in ("TASK_PATH", "QARNOT_RESOURCES_DIRECTORY", "QARNOT_RESULTS_DIRECTORY")}
    assert folders == {found["DOCKER_WORKDIR"]}


def test_no_secret_of_the_platform_reaches_a_command(anyone: Account) -> None:
    found = "\n".join(f"{name}={value}" for name, value in variables(anyone).items())
    assert anyone.token not in found
    assert "hearth_node_" not in found


def test_the_command_starts_in_the_folder_that_the_variables_name(anyone: Account) -> None:
    where, said, temporary = lines(anyone, 'pwd; echo "$TASK_PATH"; : > "$TMP_PATH/x" && echo written', shell=True)
    assert where == said
    assert temporary == "written"


@pytest.mark.parametrize("each_platform", ISOLATED, indirect=True)
def test_an_isolated_command_is_in_slash_job(each_platform: Platform) -> None:
    account = each_platform.account()
    assert lines(account, "pwd") == ["/job"]


def test_braces_are_replaced_without_a_shell_and_the_rest_is_left(anyone: Account) -> None:
    given = {"NAME": "two words", "TEMPLATE": "<${NAME}>"}
    told = lines(anyone, "sh -c 'echo \"${INSTANCE_ID}|${UNKNOWN}|$(echo inner)|${NAME}|$TEMPLATE\"'", constants=given)
    assert told == ["0||inner|two words|<two words>"]
    assert lines(anyone, "echo $INSTANCE_ID $(date) ${UNKNOWN} ${TEMPLATE}", constants=given) == [
        "$INSTANCE_ID $(date) ${UNKNOWN} <${NAME}>"
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('"${NAME}" after', ["<two words>", "<after>"]),
        ("${NAME} after", ["<two>", "<words>", "<after>"]),
        ("'a && b > ${INSTANCE_ID}'", ["<a && b > 0>"]),
        ("   many    spaces   ", ["<many>", "<spaces>"]),
        (r"back\ slash \"quoted\" 'it'\''s'", ["<back slash>", '<"quoted">', "<it's>"]),
        ("'' ${EMPTY} x", ["<>", "<x>"]),
        ("; | & > < * ? ~ #", ["<;>", "<|>", "<&>", "<>>", "<<>", "<*>", "<?>", "<~>", "<#>"]),
        ("é ü 日本", ["<é>", "<ü>", "<日本>"]),
    ],
)
def test_the_command_is_split_by_shell_words(user: Account, command: str, expected: list[str]) -> None:
    assert words(user, command, constants={"NAME": "two words", "EMPTY": ""}) == expected


def test_an_explicit_shell_sees_the_variables(anyone: Account) -> None:
    task = anyone.run('sh -c                 "echo Hello from $QRANK/$QSIZE && echo $((1 + 1))" ', instanceCount=2)
    assert sorted(anyone.stdout(task["uuid"]).splitlines()) == [
        "0> 2",
        "0> Hello from 0/2",
        "1> 2",
        "1> Hello from 1/2",
    ]


def test_constants_may_be_numbers_and_booleans(user: Account) -> None:
    body = {
        "name": "typed",
        "profile": "docker-batch",
        "instanceCount": 1,
        "constants": [
            {"key": "DOCKER_CMD", "value": "echo ${COUNT} ${YES}"},
            {"key": "COUNT", "value": 26},
            {"key": "YES", "value": True},
        ],
    }
    uuid = user.post("/tasks", body).json()["uuid"]
    user.await_end(uuid)
    assert user.stdout(uuid, 0) == "26 true\n"


def test_a_secret_constant_counts_as_the_plain_one_and_is_never_shown(user: Account) -> None:
    task = user.run("echo ${PASSWORD} ${#PASSWORD}", constants={"QARNOT_SECRET__PASSWORD": "hush"})
    assert user.stdout(task["uuid"], 0).startswith("hush ")
    shown = {pair["key"]: pair["value"] for pair in task["constants"]}
    assert shown["QARNOT_SECRET__PASSWORD"] == "[SECRET]"
    assert "hush" not in str(task)


def test_a_runtime_without_images_says_what_it_did_instead(user: Account) -> None:
    task = user.run("true", constants={"DOCKER_REPO": "library/debian"})
    assert task["state"] == "Success"
    notes = " ".join(task["completedInstances"][0]["notes"])
    assert "not isolated" in notes
    assert "'library/debian' was ignored" in notes


def test_the_sandbox_refuses_an_image_and_says_what_to_do(sandbox_platform: Platform) -> None:
    account = sandbox_platform.account()
    task = account.run("true", constants={"DOCKER_REPO": "library/debian"})
    assert task["state"] == "Failure"
    assert "DOCKER_REPO" in task["errors"][0]["message"]
    assert "--runtime docker" in task["errors"][0]["message"]


def test_an_image_keeps_its_entrypoint_and_gets_the_words(docker_platform: Platform) -> None:
    account = docker_platform.account()
    found = lines(
        account, "echo '${INSTANCE_ID} is one' word", constants={"DOCKER_REPO": "library/entry", "DOCKER_TAG": "1"}
    )
    assert found == ["entry got 3 words", "0 is one word"]
    assert lines(account, "", constants={"DOCKER_REPO": "library/entry"}) == ["entry got 2 words", "default"]


def test_an_image_that_is_not_there_is_the_users_error(docker_platform: Platform) -> None:
    account = docker_platform.account()
    task = account.run("true", constants={"DOCKER_REPO": "library/absent"})
    assert task["state"] == "Failure"
    assert "library/absent" in task["errors"][0]["message"]
