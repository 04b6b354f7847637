"""How a run becomes a container, and what the engine's words mean."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hearth.agent.runtime.base import Image, RunSpec
from hearth.agent.runtime.docker_container import container_config, container_name, exec_failure, refusal
from hearth.agent.runtime.docker_engine import EngineFacts, EngineRefused, microseconds
from hearth.agent.runtime.docker_images import full_reference, pull_refusal, registry_of
from hearth.agent.runtime.docker_output import STDERR, STDOUT, Frame, Spool, with_all_newlines

FACTS = EngineFacts(
    processors=2, log_drivers=frozenset({"json-file", "local"}), runs_survive_restart=False, started_at=0
)
RUN = RunSpec(
    key="task.0.1",
    argv=("render", "--all"),
    environment={"A": "1", "EMPTY": ""},
    directory=Path("/data/runs/1/job"),
    stdout=Path("/data/runs/1/stdout"),
    stderr=Path("/data/runs/1/stderr"),
    image=Image("docker.io/library/ubuntu:latest", "ada", "pass-of-ada"),
)


def config(facts: EngineFacts = FACTS, **changes: Any) -> dict[str, Any]:
    return container_config(replace(RUN, **changes), "site-1", facts, "bridge")


def test_a_container_is_named_and_labelled_by_its_site_and_run() -> None:
    assert container_name("site-1", "task.0.1") == "hearth-site-1-task.0.1"
    assert config()["Labels"] == {
        "hearth.site": "site-1",
        "hearth.run": "task.0.1",
        "hearth.stdout": "/data/runs/1/stdout",
        "hearth.stderr": "/data/runs/1/stderr",
    }


def test_no_network_unless_it_is_asked_for() -> None:
    assert config()["HostConfig"]["NetworkMode"] == "none"
    assert config(network=True)["HostConfig"]["NetworkMode"] == "bridge"


def test_limits_are_what_the_run_may_use() -> None:
    host = config(memory_bytes=1 << 30, cores=1.5, pids=64)["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (
        1 << 30,
        1 << 30,
        1_500_000_000,
        64,
    )


def test_what_is_not_limited_is_not_mentioned() -> None:
    host = config(memory_bytes=0, cores=0, pids=0)["HostConfig"]
    assert {"Memory", "MemorySwap", "NanoCpus", "PidsLimit"} & set(host) == set()


def test_a_password_is_nowhere_in_a_container() -> None:
    assert "pass-of-ada" not in str(config())


def test_an_empty_variable_stays_a_variable() -> None:
    assert config()["Env"] == ["A=1", "EMPTY="]


@pytest.mark.parametrize(
    ("drivers", "chosen"),
    [({"json-file", "local"}, "local"), ({"json-file"}, "json-file"), ({"k8s-file", "journald"}, "k8s-file")],
)
def test_the_log_that_keeps_bytes_is_preferred(drivers: set[str], chosen: str) -> None:
    facts = replace(FACTS, log_drivers=frozenset(drivers))
    assert config(facts)["HostConfig"]["LogConfig"]["Type"] == chosen


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "write /var/lib/docker: no space left on device"),
        (500, "failed to create shim: context deadline exceeded"),
        (400, "invalid mount config for type bind: bind source path does not exist: /data/runs/1/job"),
        (409, "the container is being removed"),
    ],
)
def test_what_is_wrong_with_the_node_is_not_laid_on_the_user(status: int, message: str) -> None:
    assert refusal(RUN, EngineRefused(status, message), at=1) is None


def test_the_users_own_words_do_not_change_what_an_error_means() -> None:
    message = (
        'OCI runtime create failed: exec: "hostname cwd no matching entries in passwd": permission denied: unknown'
    )
    refused = refusal(RUN, EngineRefused(400, message), at=1)
    assert refused is not None
    assert (refused.exit_code, refused.code) == (126, "COMMAND_NOT_EXECUTABLE")


@pytest.mark.parametrize(
    ("stderr", "exit_code"),
    [
        (b"exec ./run.sh: no such file or directory\n", 127),
        (b"exec /job/a: exec format error", 126),
        (b"sh: exec: line 1: x: not found\n", None),
        (b"exec ./run.sh: no such file or directory\nand more", None),
        (b"", None),
    ],
)
def test_only_the_words_of_a_failed_exec_are_taken_for_one(stderr: bytes, exit_code: int | None) -> None:
    assert exec_failure(stderr) == exit_code


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("2026-11-21T08:06:08.008416783Z", 1795248368008416),
        ("2026-11-21T09:06:08.008416783+01:00", 1795248368008416),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
    ],
)
def test_the_engines_times_are_microseconds(text: str, at: int) -> None:
    assert microseconds(text) == at


@pytest.mark.parametrize(
    ("reference", "full"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest"),
        ("library/ubuntu:22.04", "docker.io/library/ubuntu:22.04"),
        ("ncbi/blast", "docker.io/ncbi/blast:latest"),
        ("127.0.0.1:5000/library/busybox:1", "127.0.0.1:5000/library/busybox:1"),
        ("localhost/mine", "localhost/mine:latest"),
        ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"),
    ],
)
def test_a_reference_is_written_out(reference: str, full: str) -> None:
    assert full_reference(reference) == full
    assert registry_of(reference) == full.split("/")[0]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("manifest for a/b:1 not found: manifest unknown: manifest unknown", "IMAGE_NOT_FOUND"),
        ("pull access denied for a/b, repository does not exist or may require 'docker login'", "IMAGE_PULL_REFUSED"),
        ("unauthorized: authentication required", "IMAGE_PULL_REFUSED"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "REGISTRY_UNREACHABLE"),
        ("dial tcp: lookup registry.invalid on 127.0.0.53:53: no such host", "REGISTRY_UNREACHABLE"),
        ("toomanyrequests: You have reached your pull rate limit.", "REGISTRY_RATE_LIMIT"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "IMAGE_WRONG_PLATFORM"),
        ("write /x: no space left on device", "NODE_DISK_FULL"),
        ("something new", "IMAGE_PULL_FAILED"),
    ],
)
def test_a_failed_pull_says_what_to_mend_and_never_the_password(reason: str, code: str) -> None:
    image = Image("registry.example/a/b:1", "ada", "pass-of-ada")
    refused = pull_refusal(image, f"{reason} (as ada:pass-of-ada)", at=1)
    assert (refused.key, refused.exit_code, refused.code) == ("", 125, code)
    assert "registry.example" in refused.message
    assert "registry.example/a/b:1" in refused.message
    assert "pass-of-ada" not in refused.message


async def given(*pieces: Frame) -> AsyncIterator[Frame]:
    for piece in pieces:
        yield piece


def test_newlines_that_a_log_lost_after_long_lines_are_put_back() -> None:
    full, rest = Frame(STDOUT, b"x" * 16384), Frame(STDOUT, b"y" * 10)
    short, other = Frame(STDOUT, b"short\n"), Frame(STDERR, b"error\n")
    newline = Frame(STDOUT, b"\n")

    async def repaired(*pieces: Frame) -> list[Frame]:
        return [piece async for piece in with_all_newlines(given(*pieces))]

    assert asyncio.run(repaired(full, full, rest, other, short)) == [full, full, rest, other, newline, short]
    assert asyncio.run(repaired(full, Frame(STDOUT, b""), short)) == [full, Frame(STDOUT, b""), newline, short]
    assert asyncio.run(repaired(short, other, rest)) == [short, other, rest]


def test_a_second_reading_adds_only_what_is_new(tmp_path: Path) -> None:
    whole = [Frame(STDOUT, b"one\ntw"), Frame(STDERR, b"error"), Frame(STDOUT, b"o\nthree\n")]
    for known in range(len(b"one\ntwo\nthree\n") + 1):
        paths = tmp_path / f"out{known}", tmp_path / f"err{known}"
        spool = Spool(*paths, anew=True)
        spool.add(Frame(STDOUT, b"one\ntwo\nthree\n"[:known]))
        asyncio.run(spool.fill(given(*whole)))
        asyncio.run(spool.fill(given(*whole)))
        spool.close()
        assert [path.read_bytes() for path in paths] == [b"one\ntwo\nthree\n", b"error"]
