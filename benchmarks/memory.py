"""How much memory the server has while tasks finish: `python benchmarks/memory.py [--instances 100000]`.

Half of the instances are in tasks of one, half in one large task, in rounds; each round is followed by a look at
the large task. Flat means that the rounds after the first few add nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.hearth_up import Platform, platform, trivial

ROUNDS = 10


def memory_mb(running: Platform, role: str) -> float:
    """Return the resident memory of a process of the platform."""
    pid = (running.data / "run" / f"{role}.pid").read_text().strip()
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the {role} has no memory")


def main() -> None:
    """Run the rounds and print what they left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=100_000)
    instances = parser.parse_args().instances // ROUNDS // 2
    roles = ("server", "agent", "spawner")
    print(f"{'instances ended':>16}" + "".join(f"{role + ' MB':>12}" for role in roles) + f"{'look ms':>10}")
    with platform(cores=8) as running:
        for finished in range(ROUNDS + 1):
            task = running.call("POST", "/tasks", trivial("large", max(1, instances * (finished > 0))))["uuid"]
            if finished:
                running.call("POST", "/tasks", [trivial(f"one-{n}", 1) for n in range(instances)])
            running.wait_for_tasks()
            began = time.perf_counter()
            running.call("GET", f"/tasks/{task}")
            look = (time.perf_counter() - began) * 1000
            told = "".join(f"{memory_mb(running, role):>12.1f}" for role in roles)
            print(f"{finished * instances * 2:>16,}{told}{look:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
