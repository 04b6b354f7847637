"""The command `hearth`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from hearth.domain.errors import HearthError
from hearth.settings import Settings, load


def _options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options that set settings; what is not given comes from HEARTH_*, hearth.toml, or the default."""
    texts = {
        "data": ("DIR", "data directory", Path),
        "host": ("ADDRESS", "address to listen on", str),
        "api_port": ("N", "port of the API; 0 picks a free one", int),
        "storage_port": ("N", "port of the storage; 0 picks a free one", int),
        "runtime": ("NAME", "what isolates instances: auto, docker, sandbox or process", str),
        "node_cores": ("N", "cores that the local node offers; 0: what the machine has", float),
        "server_url": ("URL", "the server that this node works for", str),
    }
    defaults = Settings()
    for name in names:
        metavar, text, kind = texts[name]
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            metavar=metavar,
            type=kind,
            help=f"{text} (default: {getattr(defaults, name) or 'automatic'})",
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hearth", description="An open batch-compute platform.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run everything on this machine: API, storage and a node")
    _options(up, "data", "api_port", "storage_port", "runtime", "host", "node_cores")
    up.add_argument("--leave-running", action="store_true", help="on Ctrl-C leave what runs; the next start finds it")

    server = commands.add_parser("server", help="run API and storage only")
    _options(server, "data", "api_port", "storage_port", "host")

    agent = commands.add_parser("agent", help="run the node agent only")
    _options(agent, "data", "runtime", "node_cores", "server_url")

    account = commands.add_parser("account", help="make accounts")
    actions = account.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make an account and print its token")
    create.add_argument("email")
    _options(create, "data")

    commands.add_parser("version", help="print the version")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except HearthError as refusal:
        print(f"hearth: {refusal.message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(given: argparse.Namespace) -> int:
    if given.command == "version":
        from importlib.metadata import version

        print(version("hearth"))
        return 0
    others = ("command", "action", "email", "leave_running")
    settings = load({name: value for name, value in vars(given).items() if name not in others})
    match given.command:
        case "up":
            from hearth.cli import up

            return up.run(settings, leave_running=given.leave_running)
        case "server" | "agent":
            import uvloop

            from hearth.app.process import log_to_stderr

            log_to_stderr()
            uvloop.run(_role(given.command)(settings))
            return 0
        case _:
            from hearth.cli import account

            return asyncio.run(account.create(settings, given.email))


def _role(name: str) -> Callable[[Settings], Coroutine[None, None, None]]:
    """Return what runs a role; the other one is not loaded."""
    if name == "server":
        from hearth.app.server import serve

        return serve
    from hearth.app.node import run_agent

    return run_agent


if __name__ == "__main__":
    sys.exit(main())
