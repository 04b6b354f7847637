"""How many trivial processes per second the spawner starts and ends, beside a bare asyncio loop.

Run: python -P benchmarks/spawner.py [COUNT] [AT ONCE ...]
"""

from __future__ import annotations

import asyncio
import resource
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from hearth.agent.runtime.base import Exited, RunSpec, Started
from hearth.agent.runtime.process import ProcessRuntime
from hearth.agent.spawner.client import launch

ROUNDS = 3


async def through_the_spawner(runtime: ProcessRuntime, folder: Path, count: int, at_once: int, mark: str) -> float:
    """Return runs per second."""

    def spec(number: int) -> RunSpec:
        key = f"{mark}.{number}.1"
        return RunSpec(key, ("/bin/true",), {"PATH": "/usr/bin:/bin"}, folder, folder / "out", folder / "err")

    begin = time.perf_counter()
    await runtime.start([spec(number) for number in range(at_once)])
    started, ended = at_once, 0
    while ended < count:
        events = [await runtime.events.get()]
        while not runtime.events.empty():
            events.append(runtime.events.get_nowait())
        keys = [event.key for event in events if isinstance(event, Exited)]
        assert len(keys) == len(events) - sum(isinstance(event, Started) for event in events), events
        if keys:
            ended += len(keys)
            await runtime.forget(keys)
            more = min(len(keys), count - started)
            await runtime.start([spec(number) for number in range(started, started + more)])
            started += more
    return count / (time.perf_counter() - begin)


async def through_asyncio(count: int, at_once: int) -> float:
    """Return processes per second of `create_subprocess_exec` with the output read."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            process = await asyncio.create_subprocess_exec(
                "/bin/true", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
            await process.communicate()

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return count / (time.perf_counter() - begin)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spawner = launch(folder / "socket", "benchmark", folder / "pid")
        try:
            runtime = ProcessRuntime(folder / "socket")
            await runtime.open()
            for at_once in [int(word) for word in sys.argv[2:]] or [2, 4, 8]:
                ours: list[float] = []
                theirs: list[float] = []
                agent, theirs_cpu, server = 0.0, 0.0, _cpu_of(spawner.pid)
                for turn in range(ROUNDS):
                    before = _own_cpu()
                    ours.append(await through_the_spawner(runtime, folder, count, at_once, f"{at_once}-{turn}"))
                    agent += _own_cpu() - before
                    before = _own_cpu()
                    theirs.append(await through_asyncio(count, at_once))
                    theirs_cpu += _own_cpu() - before
                each = 1_000_000 / (count * ROUNDS)
                print(
                    f"{at_once} at once: spawner {statistics.median(ours):.0f}/s, "
                    f"asyncio {statistics.median(theirs):.0f}/s; cpu per run: "
                    f"agent {agent * each:.0f} µs, spawner {(_cpu_of(spawner.pid) - server) * each:.0f} µs; "
                    f"asyncio {theirs_cpu * each:.0f} µs"
                )
            print(
                Path(f"/proc/{spawner.pid}/status").read_text().partition("VmHWM:")[2].split("\n")[0].strip(),
                "peak of the spawner",
            )
            await runtime.close()
        finally:
            spawner.send_signal(signal.SIGTERM)
            spawner.wait()


if __name__ == "__main__":
    asyncio.run(main())
