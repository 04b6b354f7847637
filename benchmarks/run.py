"""`make bench`: what the platform does on this machine, beside the barest way to start a process.

Everything is durable: an instance counts when its output and its end are committed and synced. The yardstick runs
in the same run, before and after, since machines are noisy; ratios and medians are what to quote.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.hearth_up import Platform, platform, trivial

AT_ONCE = (2, 4, 8)
ROLES = ("server", "store", "agent", "spawner")


async def _spawn_loop(count: int, at_once: int) -> float:
    """Return how many `/bin/true` a second asyncio starts and reads to the end, `at_once` at a time."""
    limit = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with limit:
            process = await asyncio.create_subprocess_exec("/bin/true", stdout=asyncio.subprocess.PIPE)
            assert process.stdout is not None
            await process.stdout.read()
            await process.wait()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return count / (time.perf_counter() - began)


def yardstick(count: int, rounds: int) -> float:
    """Return the median over rounds of the best rate over the concurrencies."""
    best = [max(asyncio.run(_spawn_loop(count, at_once)) for at_once in AT_ONCE) for _ in range(rounds)]
    return statistics.median(best)


def throughput(running: Platform, tasks: Sequence[dict[str, object]], instances: int) -> tuple[float, dict[str, float]]:
    """Return instances a second from submit to the last end on disk, and CPU microseconds per instance by role."""
    before = running.cpu_seconds()
    began = time.perf_counter()
    running.call("POST", "/tasks", tasks[0] if len(tasks) == 1 else list(tasks))
    running.wait_for_tasks()
    seconds = time.perf_counter() - began
    after = running.cpu_seconds()
    return instances / seconds, {role: (after[role] - before[role]) / instances * 1e6 for role in ROLES}


def measure_throughput(instances: int, rounds: int) -> None:
    """Print the rates beside the yardstick, each the median of rounds at its best concurrency."""
    kinds = {
        f"one task of {instances}": [trivial("one", instances)],
        f"{instances} tasks of one": [trivial(f"many-{n}", 1) for n in range(instances)],
    }
    first = yardstick(instances // 2, rounds)
    rates: dict[str, dict[int, list[tuple[float, dict[str, float]]]]] = {kind: {} for kind in kinds}
    for at_once in AT_ONCE:
        with platform(cores=at_once) as running:
            for kind, tasks in kinds.items():
                rates[kind][at_once] = [throughput(running, tasks, instances) for _ in range(rounds)]
                say(f"  {kind}, {at_once} at once: " + ", ".join(f"{rate:.0f}/s" for rate, _ in rates[kind][at_once]))
    bare = statistics.median([first, yardstick(instances // 2, rounds)])
    print(f"\n{'trivial instances, end to end':<34}{'per s':>8}{'ratio':>8}{'at once':>9}   CPU µs per instance")
    print(f"{'bare spawn loop (yardstick)':<34}{bare:>8.0f}{1.0:>8.2f}")
    for kind, by_concurrency in rates.items():
        at_once, results = max(by_concurrency.items(), key=lambda item: statistics.median(r for r, _ in item[1]))
        rate = statistics.median(rate for rate, _ in results)
        cpu = {role: statistics.median(used[role] for _, used in results) for role in ROLES}
        told = "  ".join(f"{role} {cpu[role]:.0f}" for role in ROLES)
        print(f"{kind:<34}{rate:>8.0f}{rate / bare:>8.2f}{at_once:>9}   {told}")


def measure_latency(running: Platform, count: int) -> None:
    """Print the time from sending a submit to the start of the process, on an idle node."""
    sent: dict[str, int] = {}
    for number in range(count):
        at = time.time_ns() // 1000
        sent[running.call("POST", "/tasks", trivial(f"latency-{number}", 1))["uuid"]] = at
        running.wait_for_tasks()
    query = "SELECT t.uuid, i.started_at FROM instances i JOIN tasks t ON t.id = i.task_id"
    started = {uuid: at for uuid, at in running.rows(query) if uuid in sent}
    waits = sorted((started[uuid] - at) / 1000 for uuid, at in sent.items())
    p50, p99 = waits[len(waits) // 2], waits[min(len(waits) - 1, int(len(waits) * 0.99))]
    print(f"\nsubmit to process started, idle node, {count} times: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def measure_large_submit(running: Platform) -> None:
    """Print what it costs to submit one task of a million instances."""
    tables = [row[0] for row in running.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    task = trivial("million", 1_000_000) | {"constants": [{"key": "DOCKER_CMD", "value": "sleep 1000"}]}

    def rows() -> dict[str, int]:
        return {table: running.rows(f'SELECT count(*) FROM "{table}"')[0][0] for table in tables}

    times = []
    for _ in range(5):
        before = rows()
        began = time.perf_counter()
        uuid = running.call("POST", "/tasks", task)["uuid"]
        times.append((time.perf_counter() - began) * 1000)
        # The node may have claimed some already: those are rows of running instances, not of the submit.
        grown = {table: n - before[table] for table, n in rows().items() if n != before[table] and table != "instances"}
        running.call("DELETE", f"/tasks/{uuid}")
        running.wait_for_tasks()
    told = ", ".join(f"{count} in {table}" for table, count in sorted(grown.items()))
    print(f"submit one task of 1,000,000 instances: {statistics.median(times):.1f} ms (median of 5); rows: {told}")


def measure_bulk(running: Platform) -> None:
    """Print what it costs to submit 10,000 tasks in one call."""
    tasks = [
        trivial(f"bulk-{n}", 1) | {"constants": [{"key": "DOCKER_CMD", "value": "sleep 1000"}]} for n in range(10_000)
    ]
    began = time.perf_counter()
    answers = running.call("POST", "/tasks", tasks)
    seconds = time.perf_counter() - began
    assert all(answer["statusCode"] == 200 for answer in answers)
    print(f"submit 10,000 tasks in one call: {seconds:.2f} s")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latencies", type=int, default=200)
    given = parser.parse_args()
    measure_throughput(given.instances, given.rounds)
    with platform(cores=2) as running:
        measure_latency(running, given.latencies)
        measure_large_submit(running)
        measure_bulk(running)
    return 0


if __name__ == "__main__":
    sys.exit(main())
