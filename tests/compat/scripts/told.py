"""What the scripts share: who they are, how they wait, how they tell. Runs on Python 3.11 with any `qarnot`."""

import json
import sys
import time
import warnings

import qarnot

warnings.simplefilter("ignore")

CONFIGURATION, PREFIX, FOLDER = sys.argv[1:4]
"""A qarnot.conf, a word that makes names of this run unique, and an empty folder to work in."""

FINAL = ("Success", "Failure", "Cancelled")


def connect():
    """Connect as the documentation says."""
    return qarnot.connection.Connection(CONFIGURATION)


def named(name):
    """Return a name that no other run of the script has."""
    return f"{PREFIX}-{name}"


def states_until(task, *wanted, seconds=60):
    """Poll a task until it is in one of the wanted states; return the states that were seen, each once."""
    seen = []
    deadline = time.monotonic() + seconds
    while True:
        task.update(True)
        if not seen or seen[-1] != task.state:
            seen.append(task.state)
        if task.state in wanted:
            return seen
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds} s: {task.name} is {wanted}, but {seen}; {task.stdout()!r}")
        time.sleep(0.05)


def until_over(task):
    """Wait for the end of a task; return its last state."""
    return states_until(task, *FINAL)[-1]


def raised(call, *arguments, **named_arguments):
    """Return the name of the exception that a call raises, and None when it raises none."""
    try:
        call(*arguments, **named_arguments)
    except Exception as error:
        return type(error).__name__
    return None


def tell(**answers):
    """Print the answers for the test that compares them."""
    print(json.dumps(answers, indent=1, sort_keys=True))
