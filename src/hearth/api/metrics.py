"""What operators watch, at /metrics in Prometheus text: loops, nodes, and the process itself."""

from __future__ import annotations

import os
from typing import Any

from hearth.control.loops import Loops
from hearth.control.site import Site

SECOND = 1_000_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Metrics:
    """An ASGI application."""

    def __init__(self, site: Site, loops: Loops) -> None:
        self._site = site
        self._loops = loops

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = self.text().encode()
        headers = [
            (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def text(self) -> str:
        """Return all metrics of this moment."""
        now = self._site.now()
        lines = [
            "# HELP hearth_loop_lag_seconds Time since the loop's last round ended.",
            "# TYPE hearth_loop_lag_seconds gauge",
        ]
        beats = self._loops.beats.items()
        lines += [_line("hearth_loop_lag_seconds", (now - beat.ended_at) / SECOND, loop=name) for name, beat in beats]
        lines += ["# TYPE hearth_loop_took_seconds gauge"]
        lines += [_line("hearth_loop_took_seconds", beat.took / SECOND, loop=name) for name, beat in beats]
        lines += ["# TYPE hearth_loop_rounds_total counter"]
        lines += [_line("hearth_loop_rounds_total", beat.rounds, loop=name) for name, beat in beats]
        lines += ["# TYPE hearth_loop_failures_total counter"]
        lines += [_line("hearth_loop_failures_total", beat.failures, loop=name) for name, beat in beats]
        lines += [
            "# HELP hearth_node_silence_seconds Time since the node was heard by this server.",
            "# TYPE hearth_node_silence_seconds gauge",
        ]
        sessions = self._site.fleet.sessions.values()
        lines += [_line("hearth_node_silence_seconds", (now - s.heard_at) / SECOND, node=s.name) for s in sessions]
        lines += ["# TYPE process_resident_memory_bytes gauge", _line("process_resident_memory_bytes", _resident())]
        return "\n".join(lines) + "\n"


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE


def _line(name: str, value: float, **labels: str) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
