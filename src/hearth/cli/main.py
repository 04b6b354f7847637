"""The command `hearth`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from hearth.domain.errors import HearthError, Invalid
from hearth.settings import Settings, load

# Settings of one role that `hearth up` hands on to it.
OF_NODES = ("node_specification_key", "node_cpu_model", "node_gpus", "node_ssd")
OF_SERVERS = ("specification_aliases", "unknown_hardware")


def _options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options that set settings; what is not given comes from HEARTH_*, hearth.toml, or the default."""
    texts: dict[str, tuple[str, str, Callable[[str], object]]] = {
        "data": ("DIR", "data directory", Path),
        "host": ("ADDRESS", "address to listen on", str),
        "api_port": ("N", "port of the API; 0 picks a free one", _port),
        "storage_port": ("N", "port of the storage; 0 picks a free one", _port),
        "runtime": ("NAME", "what isolates instances: auto, docker, sandbox or process", str),
        "node_cores": ("N", "cores that the local node offers; 0: what the machine has", float),
        "server_url": ("URL", "the server that this node works for", str),
        "node_specification_key": ("KEY", "what the node's kind of machine is called", str),
        "node_cpu_model": ("MODEL", "the node's cpu model", str),
        "node_gpus": ("N", "GPUs of the node; -1: as many as there are", int),
        "node_ssd": ("auto|yes|no", "whether the node's folder is on an SSD", str),
        "specification_aliases": ("ASKED=OURS,...", "what tasks may call the hardware of this site", str),
        "unknown_hardware": ("refuse|wait|ignore", "what becomes of tasks that name hardware no node has", str),
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


def _port(text: str) -> int:
    """Return the number of a port, or what argparse tells as one sentence."""
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")


def _check_place(data: Path) -> None:
    """Refuse a place where no data directory can be, in a sentence."""
    if data.exists() and not data.is_dir():
        raise Invalid("data", f"{data} is a file; choose a directory")
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid("data", f"{data} cannot be made ({error.strerror}); choose another") from None
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        raise Invalid("data", f"{data} may not be written by this user; choose another")


class _Version(argparse.Action):
    """`--version`, which looks for the version only when it is asked for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(_version())
        parser.exit()


def _version() -> str:
    from importlib.metadata import version

    return version("hearth")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hearth", description="An open batch-compute platform.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run everything on this machine: API, storage and a node")
    _options(up, "data", "api_port", "storage_port", "runtime", "host", "node_cores", *OF_NODES, *OF_SERVERS)
    up.add_argument("--leave-running", action="store_true", help="on Ctrl-C leave what runs; the next start finds it")

    server = commands.add_parser("server", help="run API and storage only")
    _options(server, "data", "api_port", "storage_port", "host", *OF_SERVERS)

    agent = commands.add_parser("agent", help="run the node agent only")
    _options(agent, "data", "runtime", "node_cores", "server_url", *OF_NODES)

    account = commands.add_parser("account", help="make accounts, limit them, let others look at them")
    _account_actions(account.add_subparsers(dest="action", required=True, metavar="ACTION"))

    commands.add_parser("version", help="print the version")
    return parser


def _account_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    create = actions.add_parser("create", help="make an account and print its token")
    show = actions.add_parser("show", help="print what an account has and may have, and who may look at it")
    limits = actions.add_parser("limits", help="change what an account may have")
    for action in (create, show, limits):
        action.add_argument("email")
    limits.add_argument("limits", nargs="+", metavar="NAME=VALUE", help="for example max_tasks=100; 0: no limit")
    allow = actions.add_parser("allow-view", help="let an account look at what is another's, without touching it")
    revoke = actions.add_parser("revoke-view", help="end that")
    for action in (allow, revoke):
        action.add_argument("owner", help="e-mail of the account that is looked at")
        action.add_argument("viewer", help="e-mail of the account that looks")
    for action in (create, show, limits, allow, revoke):
        _options(action, "data")


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
        print(_version())
        return 0
    others = ("command", "action", "email", "owner", "viewer", "limits", "leave_running")
    settings = load({name: value for name, value in vars(given).items() if name not in others})
    _check_place(settings.data)
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
            return asyncio.run(_account(settings, given))


async def _account(settings: Settings, given: argparse.Namespace) -> int:
    from hearth.cli import account

    match given.action:
        case "create":
            return await account.create(settings, given.email)
        case "show":
            return await account.show(settings, given.email)
        case "limits":
            return await account.limits(settings, given.email, given.limits)
        case "allow-view":
            return await account.allow_view(settings, given.owner, given.viewer)
        case _:
            return await account.revoke_view(settings, given.owner, given.viewer)


def _role(name: str) -> Callable[[Settings], Coroutine[None, None, None]]:
    """Return what runs a role; the other one is not loaded."""
    if name == "server":
        from hearth.app.server import serve

        return serve
    from hearth.app.node import run_agent

    return run_agent


if __name__ == "__main__":
    sys.exit(main())
