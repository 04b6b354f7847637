"""What operators watch, in the text that Prometheus reads."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

from hearth.api.metrics import Metrics
from hearth.control.loops import Beat

SECOND = 1_000_000


async def served(metrics: Metrics) -> tuple[dict[bytes, bytes], list[str]]:
    """Return headers and lines of what is answered."""
    told: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await metrics({}, None, send)
    start, body = told
    assert start["status"] == 200
    headers = dict(start["headers"])
    assert int(headers[b"content-length"]) == len(body["body"])
    return headers, body["body"].decode().splitlines()


async def test_loops_and_nodes_are_told_in_seconds_with_their_names():
    site = SimpleNamespace(
        now=lambda: 20 * SECOND,
        fleet=SimpleNamespace(sessions={1: SimpleNamespace(name='a "node"\\', heard_at=18 * SECOND)}),
    )
    loops = SimpleNamespace(beats={"dispatch": Beat(rounds=7, failures=2, ended_at=15 * SECOND, took=SECOND // 4)})
    headers, lines = await served(Metrics(cast(Any, site), cast(Any, loops)))
    assert headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
    samples = [line for line in lines if not line.startswith("#")]
    assert samples[:-1] == [
        'hearth_loop_lag_seconds{loop="dispatch"} 5.0',
        'hearth_loop_took_seconds{loop="dispatch"} 0.25',
        'hearth_loop_rounds_total{loop="dispatch"} 7',
        'hearth_loop_failures_total{loop="dispatch"} 2',
        'hearth_node_silence_seconds{node="a \\"node\\"\\\\"} 2.0',
    ]
    assert re.fullmatch(r"process_resident_memory_bytes [1-9]\d{6,}", samples[-1])
    names = {re.split(r"[ {]", sample)[0] for sample in samples}
    assert {line.split()[2] for line in lines if line.startswith("# TYPE")} == names
