"""Instances in any state, made the way they come about: by events."""

from __future__ import annotations

from hearth.domain.instance import Cancelled, Claimed, Ended, Event, Exited, Failure, Instance, Lost, Started, advance

NODE_A = 1
NODE_B = 2
BOOT = 7
FAILED = Failure("EXIT_CODE", "the command ended with exit code 3")


def an_instance(*, number: int = 0, failures: int = 0, losses: int = 0) -> Instance:
    """An instance that nobody has touched."""
    return Instance(task_id=1, number=number, failures=failures, losses=losses)


def after(instance: Instance, *events: Event) -> Instance:
    """The instance after these events."""
    for event in events:
        instance, _ = advance(instance, event)
    return instance


def dispatched(instance: Instance, *, node: int = NODE_A, at: int = 10) -> Instance:
    return after(instance, Claimed(node, BOOT, at))


def running(instance: Instance, *, node: int = NODE_A) -> Instance:
    given = dispatched(instance, node=node)
    return after(given, Started(given.attempt, 20))


def uploading(instance: Instance) -> Instance:
    given = running(instance)
    return after(given, Exited(given.attempt, 0, 30))


def cancelling(instance: Instance) -> Instance:
    return after(running(instance), Cancelled(25))


def succeeded(instance: Instance) -> Instance:
    given = uploading(instance)
    return after(given, Ended(given.attempt, 40, exit_code=0))


def failed(instance: Instance) -> Instance:
    given = running(instance)
    return after(given, Ended(given.attempt, 40, exit_code=3, failure=FAILED))


def lost(instance: Instance, *, allowed: int = 3) -> Instance:
    return after(instance, Lost(instance.attempt, 50, "the node is gone", allowed))
