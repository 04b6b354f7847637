"""Output of several instances: whole, fresh, by instance, as text and as JSON."""

import json

import pytest

from tests.services.account import Account
from tests.services.platform import Platform

TALK = 'i=0; while [ $i -lt 200 ]; do echo "line $i of $INSTANCE_ID"; echo "error $i" >&2; i=$((i+1)); done'


@pytest.fixture(scope="module")
def talked(shared_platform: Platform) -> tuple[Account, str]:
    """A finished task of three instances that said much."""
    user = shared_platform.account()
    return user, user.run(TALK, shell=True, instanceCount=3)["uuid"]


def test_the_whole_output_has_each_line_once_with_its_instance_in_front(talked: tuple[Account, str]) -> None:
    user, uuid = talked
    lines = user.stdout(uuid).splitlines()
    assert sorted(lines) == sorted(f"{n}> line {i} of {n}" for n in range(3) for i in range(200))
    for n in range(3):  # in the order in which each instance said them
        assert [line for line in lines if line.startswith(f"{n}> ")] == [f"{n}> line {i} of {n}" for i in range(200)]
    assert len(user.stderr(uuid).splitlines()) == 600


def test_the_output_of_one_instance_is_what_it_wrote(talked: tuple[Account, str]) -> None:
    user, uuid = talked
    for n in range(3):
        assert user.stdout(uuid, n) == "".join(f"line {i} of {n}\n" for i in range(200))
        assert user.stderr(uuid, n) == "".join(f"error {i}\n" for i in range(200))


@pytest.mark.parametrize("number", ["3", "1000000", "-1", "x", "99999999999999999999"])
def test_the_output_of_an_instance_that_is_not_there(talked: tuple[Account, str], number: str) -> None:
    user, uuid = talked
    answer = user.api.get(f"/tasks/{uuid}/stdout/{number}")
    assert answer.status_code in (400, 404)
    assert answer.json()["message"]


def test_text_for_whoever_takes_anything_and_json_for_whoever_asks(talked: tuple[Account, str]) -> None:
    user, uuid = talked
    url = f"/tasks/{uuid}/stdout/0"
    text = user.api.get(url, headers={"Accept": "*/*"})
    asked = user.api.get(url, headers={"Accept": "application/json"})
    request = user.api.build_request("GET", url)
    request.headers.pop("Accept")
    silent = user.api.send(request)
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert json.loads(asked.text) == json.loads(silent.text) == text.text


def test_fresh_output_together_is_the_whole_one(user: Account) -> None:
    uuid = user.submit('for i in 1 2 3 4 5 6 7 8; do echo "é $i"; sleep 0.1; done', shell=True, instanceCount=2)
    pieces: list[str] = []

    def take() -> str:
        answer = user.post(f"/tasks/{uuid}/stdout", headers={"Accept": "*/*"})
        assert answer.status_code == 200
        pieces.append(answer.text)
        return answer.text

    user.await_task(uuid, lambda task: bool(take()) or task["state"] == "Success", "the first fresh output")
    user.await_task(uuid, lambda task: take() is not None and task["state"] == "Success", "the end")
    take()
    assert take() == ""
    assert len([piece for piece in pieces if piece]) > 1
    assert "".join(pieces) == user.stdout(uuid)
    assert user.post(f"/tasks/{uuid}/stdout/0", headers={"Accept": "*/*"}).text == user.stdout(uuid, 0)
    assert user.post(f"/tasks/{uuid}/stdout/0", headers={"Accept": "*/*"}).text == ""


def test_bytes_that_are_no_text_do_not_break_the_answer(user: Account) -> None:
    task = user.run(r"printf 'a\377\376b\000c\n'", shell=True)
    shown = user.stdout(task["uuid"], 0)
    assert shown[0] == "a"
    assert "b" in shown
    assert shown.endswith("c\n")


def test_a_last_line_without_an_end_is_there_and_the_next_instance_begins_a_line(user: Account) -> None:
    task = user.run("printf no-end-$INSTANCE_ID", shell=True, instanceCount=3)
    assert sorted(user.stdout(task["uuid"]).splitlines()) == ["0> no-end-0", "1> no-end-1", "2> no-end-2"]
    assert user.stdout(task["uuid"], 1) == "no-end-1"


def test_five_megabytes_of_output_arrive_byte_for_byte(user: Account) -> None:
    task = user.run("seq 1 760000")
    assert user.stdout(task["uuid"], 0) == "".join(f"{n}\n" for n in range(1, 760_001))
