"""How a run looks as a container: its name, labels and limits, and what the engine's refusals mean for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hearth.agent.runtime.base import Refused, RunSpec
from hearth.agent.runtime.docker_engine import Container, EngineFacts, EngineRefused

LABEL_SITE = "hearth.site"
LABEL_RUN = "hearth.run"
LABEL_STDOUT = "hearth.stdout"
LABEL_STDERR = "hearth.stderr"
LEAST_MEMORY_BYTES = 8 * 1024 * 1024  # below this engines refuse a container or cannot start one
# What no batch job needs and what reaches beyond its container: device nodes, and raw packets on a bridge.
DROPPED_CAPABILITIES = ["MKNOD", "NET_RAW"]
_EXEC_FAILED = re.compile(
    rb"exec [^\n]+: (no such file or directory|exec format error|permission denied)\n?", re.DOTALL
)
_BAD_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.-]")


def container_name(site: str, key: str) -> str:
    """Return the name of a run's container: one for ever."""
    return "hearth-" + _BAD_IN_NAMES.sub("_", f"{site}-{key}")


def container_config(spec: RunSpec, site: str, facts: EngineFacts, network: str) -> dict[str, Any]:
    """Say what the engine must create for `spec`."""
    assert spec.image is not None
    config: dict[str, Any] = {
        "Image": spec.image.reference,
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "WorkingDir": spec.working_directory or spec.mount_point,
        "User": spec.user,
        "Hostname": spec.hostname,
        "Labels": {
            LABEL_SITE: site,
            LABEL_RUN: spec.key,
            LABEL_STDOUT: str(spec.stdout),
            LABEL_STDERR: str(spec.stderr),
        },
        "AttachStdin": False,
        "OpenStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},  # nobody would look at it
        "HostConfig": {
            "Mounts": [{"Type": "bind", "Source": str(spec.directory), "Target": spec.mount_point}],
            "NetworkMode": network if spec.network else "none",
            "LogConfig": _log_config(facts),
            "SecurityOpt": ["no-new-privileges"],
            "CapDrop": DROPPED_CAPABILITIES,
            # An init would start any command and report a missing one as the command's own exit.
            "Init": False,
            "AutoRemove": False,
            "RestartPolicy": {"Name": "no"},
            **_limits(spec, facts),
        },
    }
    if spec.argv:  # without, the image's own command; its entrypoint is kept in both cases
        config["Cmd"] = list(spec.argv)
    return config


def spool_of(container: Container) -> tuple[Path, Path] | None:
    """Return where a container of ours spools its output."""
    try:
        return Path(container.labels[LABEL_STDOUT]), Path(container.labels[LABEL_STDERR])
    except KeyError:
        return None


def refusal(spec: RunSpec, error: EngineRefused, at: int) -> Refused | None:
    """Say what the user must mend after the engine refused to create or start a run; None: nothing of theirs."""
    command = f"'{spec.argv[0]}'" if spec.argv else "the image's own command"
    image = f"image '{spec.image.reference}'" if spec.image else "the image"
    # Quoted parts are the user's own words, which could be any.
    text = re.sub(r'"[^"]*"', "", error.message.lower())

    def refused(exit_code: int, code: str, message: str) -> Refused:
        return Refused(spec.key, at, exit_code, code, message)

    if "error mounting" in text or "invalid mount" in text:
        return None
    if "executable file not found" in text:
        return refused(127, "COMMAND_NOT_FOUND", f"The command {command} does not exist in {image}.")
    if "no command specified" in text:
        return refused(127, "COMMAND_MISSING", f"There is nothing to run: no command was given and {image} names none.")
    if "unable to find user" in text or "unable to find group" in text or "no matching entries in passwd" in text:
        return refused(
            125,
            "USER_NOT_FOUND",
            f"The user '{spec.user}' does not exist in {image}; name one that does, or a number.",
        )
    if "working directory" in text or "cwd" in text or "chdir" in text:
        return refused(
            125,
            "WORKING_DIRECTORY_INVALID",
            f"'{spec.working_directory or spec.mount_point}' cannot be the working directory in {image}; "
            "it must be an absolute path of a folder.",
        )
    if "hostname" in text:
        return refused(
            125,
            "HOSTNAME_INVALID",
            f"'{spec.hostname}' cannot be the name of a host; use up to 63 letters, digits, '-' and '.'.",
        )
    if "no such file or directory" in text:
        return refusal_of_exec(spec, b"exec it: no such file or directory", at)
    if "argument list too long" in text:
        return refused(126, "COMMAND_TOO_LONG", f"The arguments or the environment of {command} are too long.")
    if "exec format error" in text:
        return refusal_of_exec(spec, b"exec it: exec format error", at)
    if "found relative to current directory" in text:
        return refused(
            127,
            "COMMAND_NOT_FOUND",
            f"The command {command} was found only through a relative entry of PATH, which container engines "
            "do not follow; use absolute entries.",
        )
    if "environment variable" in text and "null" in text:
        return refused(125, "ENVIRONMENT_INVALID", "The value of an environment variable holds a NUL character.")
    if "permission denied" in text or "is a directory" in text:
        return refused(126, "COMMAND_NOT_EXECUTABLE", f"The command {command} in {image} is not an executable file.")
    if 400 <= error.status < 500 and error.status not in (404, 408, 409, 429):
        return refused(125, "CONTAINER_REFUSED", f"The container engine refused the run: {error.message}")
    return None


def refusal_of_exec(spec: RunSpec, stderr: bytes, at: int) -> Refused | None:
    """Say what the user must mend if `stderr` is only what is written when no command could be executed."""
    exit_code = exec_failure(stderr)
    if exit_code is None:
        return None
    command = f"The command '{spec.argv[0]}'" if spec.argv else "The image's own command"
    where = f"image '{spec.image.reference}'" if spec.image else "the image"
    if exit_code == 127:
        message = f"{command}, or the interpreter that its first line names, does not exist in {where}."
        return Refused(spec.key, at, exit_code, "COMMAND_NOT_FOUND", message)
    message = f"{command} in {where} is not a program for this machine, nor a script with '#!' in its first line."
    return Refused(spec.key, at, exit_code, "COMMAND_NOT_EXECUTABLE", message)


def exec_failure(stderr: bytes) -> int | None:
    """Return 127 or 126 when `stderr` is only what runc writes if it could not become the command."""
    found = _EXEC_FAILED.fullmatch(stderr)
    if found is None:
        return None
    return 127 if found[1] == b"no such file or directory" else 126


def _limits(spec: RunSpec, facts: EngineFacts) -> Mapping[str, int]:
    limits: dict[str, int] = {}
    if spec.memory_bytes > 0:
        limits["Memory"] = max(spec.memory_bytes, LEAST_MEMORY_BYTES)
        limits["MemorySwap"] = limits["Memory"]  # the two together: no swap
    if spec.cores > 0:
        cores = min(spec.cores, facts.processors) if facts.processors else spec.cores
        limits["NanoCpus"] = max(10_000_000, int(cores * 1_000_000_000))
    if spec.pids > 0:
        limits["PidsLimit"] = spec.pids
    return limits


def _log_config(facts: EngineFacts) -> dict[str, Any]:
    # A returned agent reads the output again from the engine's log. "local" keeps bytes as they are;
    # "json-file" replaces what is not UTF-8, and also cuts characters at 16 KiB.
    if "local" in facts.log_drivers:
        return {"Type": "local", "Config": {"max-size": "1g", "max-file": "1", "compress": "false"}}
    if "json-file" in facts.log_drivers or not facts.log_drivers:
        return {"Type": "json-file", "Config": {}}
    return {"Type": "k8s-file", "Config": {}} if "k8s-file" in facts.log_drivers else {}
