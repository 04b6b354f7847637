"""How soon a line that an instance writes is with who follows it: `python benchmarks/follow.py [LINES] [FOLLOWERS]`.

The instance writes its clock in each line, at uneven distances, so that lines meet the agent's polls anywhere; the
followers compare it with theirs. One machine, so one clock.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.hearth_up import Platform, platform
from hearth_client.follow import follow
from hearth_client.http import HttpClient

# The run marks each line with its clock, and pauses 0.1 s and a bit, so that lines meet the agent's looks anywhere.
_WRITER = """
import time
time.sleep(2)  # until all followers are there
for n in range({lines}):
    print(time.time(), flush=True)
    time.sleep(0.1 + 0.05 * (n * 0.618 % 1))
"""


def latencies(running: Platform, lines: int, followers: int) -> list[float]:
    """Return how long each line was under way to each follower, in milliseconds."""
    constants = [{"key": "DOCKER_CMD", "value": f"{sys.executable} -c 'import os; exec(os.environ[\"WRITER\"])'"}]
    constants.append({"key": "WRITER", "value": _WRITER.format(lines=lines)})
    body = {"name": "follow", "profile": "docker-batch", "instanceCount": 1, "constants": constants}
    task = running.call("POST", "/tasks", body)["uuid"]
    found: list[float] = []

    def read() -> None:
        with HttpClient(running.url, running.token) as http:
            for event in follow(http, f"/tasks/{task}/output"):
                if event.name == "stdout":
                    now = time.time()
                    found.extend((now - float(line)) * 1000 for line in event.data["text"].split())

    readers = [threading.Thread(target=read) for _ in range(followers)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return sorted(found)


def main() -> None:
    """Print the median and the slow end."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    followers = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with platform(cores=2) as running:
        found = latencies(running, lines, followers)
        cpu = running.cpu_seconds()
    at = lambda part: found[min(len(found) - 1, int(len(found) * part))]  # noqa: E731
    print(f"{len(found)} lines to {followers} followers on {os.cpu_count()} cores")
    print(f"p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, worst {found[-1]:.1f} ms")
    print("CPU seconds in all: " + ", ".join(f"{role} {seconds:.2f}" for role, seconds in cpu.items()))


if __name__ == "__main__":
    main()
