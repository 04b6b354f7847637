"""`hearth up`: what it prints and writes, that it finds everything again, and that it leaves nothing behind."""

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.services.platform import Platform, hearth


def test_it_serves_on_free_ports_of_loopback_and_writes_a_configuration_for_its_owner(own_platform: Platform) -> None:
    own_platform.start()
    said = own_platform.said()
    assert own_platform.api_url in said
    assert own_platform.storage_url in said
    for url in (own_platform.api_url, own_platform.storage_url):
        host, port = url.removeprefix("http://").split(":")
        assert host == "127.0.0.1"
        assert int(port) not in (0, 8550, 8551)
    assert own_platform.configuration.stat().st_mode & 0o777 == 0o600
    lines = own_platform.configuration.read_text().split("\n")
    assert lines[:3] == ["[cluster]", f"url={own_platform.api_url}", "[client]"]
    assert lines[3].startswith("token=hearth_")
    assert own_platform.account().api.get("/info").json()["email"] == "me@localhost"


def test_it_listens_on_loopback_only(shared_platform: Platform) -> None:
    ports = {int(url.rpartition(":")[2]) for url in (shared_platform.api_url, shared_platform.storage_url)}
    assert {address for address, port in _listening() if port in ports} == {"127.0.0.1"}


def test_a_second_start_finds_accounts_tasks_output_and_files_again(own_platform: Platform) -> None:
    own_platform.start()
    before = own_platform.account()
    before.make_bucket("kept", **{"a/b.txt": "kept bytes"})
    done = before.run("echo told once", resultBucket="results", name="kept task")
    site, token = own_platform.site, own_platform.token
    assert own_platform.stop() == 0

    own_platform.start()
    assert (own_platform.site, own_platform.token) == (site, token)
    after = own_platform.account()
    assert after.task(done["uuid"])["name"] == "kept task"
    assert after.task(done["uuid"])["state"] == "Success"
    assert after.stdout(done["uuid"]) == "0> told once\n"
    assert after.files("kept") == {"a/b.txt": "kept bytes"}
    again = after.run("echo and again")
    assert after.stdout(again["uuid"]) == "0> and again\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_every_process_and_the_task_runs_again_later(
    own_platform: Platform, number: signal.Signals
) -> None:
    own_platform.start()
    user = own_platform.account()
    uuid = user.submit("echo started; exec sleep ${PAUSE}", shell=True, constants={"PAUSE": "600"})
    user.await_stdout(uuid, "started")
    assert len(own_platform.processes()) >= 5

    assert own_platform.stop(number) == 0
    assert own_platform.processes() == {}
    assert sorted(path.name for path in (own_platform.data / "run").glob("*.pid")) == []

    own_platform.start()
    user = own_platform.account()
    task = user.await_task(
        uuid, lambda task: user.stdout(uuid).count("started") == 2, "the task runs again after the restart"
    )
    assert task["state"] == "FullyExecuting"
    user.post(f"/tasks/{uuid}/abort")
    assert user.await_end(uuid)["state"] == "Cancelled"


def test_a_data_directory_in_use_is_refused_by_the_second(shared_platform: Platform) -> None:
    second = shared_platform.run("up", "--api-port", "0", "--storage-port", "0", "--runtime", "process")
    assert second.returncode == 2
    assert f"in use by another `hearth up` (process {shared_platform.pid('up')})" in second.stderr
    assert str(shared_platform.data) in second.stderr
    assert "--data" in second.stderr
    assert shared_platform.account().api.get("/info").status_code == 200


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    refused = subprocess.run(
        [*hearth(), "up", "--data", str(tmp_path)], check=False, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 2
    assert "not empty" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_port_in_use_is_named(own_platform: Platform) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        parent = own_platform.launch("--api-port", str(port))
        assert parent.wait(timeout=45) == 2
    assert f"127.0.0.1:{port}" in own_platform.said()
    assert own_platform.processes() == {}


def test_an_unknown_runtime_is_refused_with_those_that_there_are(own_platform: Platform) -> None:
    refused = own_platform.run("up", "--runtime", "virtual-machine")
    assert refused.returncode == 2
    assert "none of auto, docker, sandbox and process" in refused.stderr


@pytest.mark.parametrize(
    "path",
    ["/info", "/tasks", "/tasks/summaries", "/profiles", "/profiles/docker-batch", "/v1", "/status", "/v1/tasks"],
)
@pytest.mark.parametrize("token", [None, "", "hearth_nonsense", "me@localhost"])
def test_a_token_is_always_required(shared_platform: Platform, path: str, token: str | None) -> None:
    api = shared_platform.account().api
    request = api.build_request("GET", path)
    request.headers.pop("Authorization")
    if token is not None:
        request.headers["Authorization"] = token
    answer = api.send(request)
    assert answer.status_code == 401
    assert answer.json()["message"]


def test_no_secret_is_in_a_log_or_readable_by_others(shared_platform: Platform) -> None:
    token = shared_platform.token
    for log in (shared_platform.data / "log").iterdir():
        assert token not in log.read_text(errors="replace")
    secret = [path for path in shared_platform.data.rglob("*") if path.is_file() and _has(path, token)]
    assert secret == [shared_platform.configuration]
    for folder in ("keys", "run", "log", "objects"):
        assert (shared_platform.data / folder).stat().st_mode & 0o077 == 0
    command_lines = " ".join(shared_platform.processes().values())
    assert token not in command_lines


def _has(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


def _listening() -> list[tuple[str, int]]:
    """Return who listens on TCP, as /proc tells."""
    found = []
    for table, family, size in (("tcp", socket.AF_INET, 4), ("tcp6", socket.AF_INET6, 16)):
        path = Path("/proc/net") / table
        if not path.exists():
            continue
        for line in path.read_text().splitlines()[1:]:
            words = line.split()
            if words[3] != "0A":
                continue
            address, port = words[1].split(":")
            raw = bytes.fromhex(address)
            ordered = b"".join(raw[at : at + 4][::-1] for at in range(0, size, 4))
            found.append((socket.inet_ntop(family, ordered), int(port, 16)))
    return found
