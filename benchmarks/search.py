"""Pages and filters with a million tasks stored, through the REST door in this process.

The rows are written straight into the database, in bulk: several accounts, tags, states, one ended instance for
each task that ended. Then pages of 100 are asked for, and single tasks. With --folder the database is kept, and used
again by the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
from sqlalchemy import Connection, func, insert, select, update

from hearth.app.process import quiet_collector
from hearth.domain.instance import InstanceState
from hearth.domain.spec import TaskSpec
from hearth.store.queries.tasks import spec_to_json
from hearth.store.tables import accounts, instances, task_tags, tasks
from hearth_client.messages.filters import all_of, any_of, compare, one_of
from hearth_client.messages.times import format_date
from tests.integration.api.sites import BEGIN, SECOND, TestSite, open_site

ACCOUNTS = 4
SHARES = (0.85, 0.05, 0.05, 0.05)  # of all tasks, the first account's are asked for
STATES = {"Success": 0.96, "Failure": 0.02, "Cancelled": 0.01, "Submitted": 0.005, "FullyExecuting": 0.005}
_ENDS = {
    "Success": InstanceState.SUCCEEDED,
    "Failure": InstanceState.FAILED,
    "Cancelled": InstanceState.CANCELLED,
}
_AT_ONCE = 20_000


def fill(connection: Connection, account_ids: list[int], count: int) -> None:
    """Write that many tasks, the oldest first."""
    chance = random.Random(1)
    for begin in range(0, count, _AT_ONCE):
        new_tasks, new_tags, new_instances = [], [], []
        for number in range(begin, min(begin + _AT_ONCE, count)):
            [account] = chance.choices(account_ids, SHARES)
            [state] = chance.choices(list(STATES), list(STATES.values()))
            row, tags = _task(number, account, state, chance)
            new_tasks.append(row)
            new_tags += [{"account_id": account, "tag": tag, "task_id": row["id"]} for tag in tags]
            if state in _ENDS:
                new_instances.append(_instance(row, state))
        connection.execute(insert(tasks), new_tasks)
        connection.execute(insert(task_tags), new_tags)
        connection.execute(insert(instances), new_instances)
        print(f"\r  {begin + len(new_tasks)} of {count} tasks", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def _task(number: int, account: int, state: str, chance: random.Random) -> tuple[dict[str, Any], list[str]]:
    tags = [f"batch-{number // 1000}", "even" if number % 2 == 0 else "odd"]
    if number % 9973 == 0:
        tags.append("rare")
    created = BEGIN + number * SECOND
    ended = created + chance.randrange(1, 600) * SECOND if state in _ENDS else None
    spec = TaskSpec(
        constants={"DOCKER_REPO": "library/busybox", "DOCKER_TAG": "1", "DOCKER_CMD": f"work --part {number}"},
        tags=tuple(tags),
        labels={"team": f"team-{number % 50}"},
        result_bucket=f"results-{number % 20}",
    )
    row: dict[str, Any] = {
        "id": number + 1,
        "account_id": account,
        "uuid": f"{number:08x}-0000-7000-8000-{chance.randrange(1 << 48):012x}",
        "shortname": f"job-{number}",
        "name": f"job-{number % 500:03}-{number}",
        "profile": "docker-batch",
        "spec": spec_to_json(spec),
        "numbers": "0",
        "instance_total": 1,
        "waiting": "0" if state == "Submitted" else "",
        "waiting_count": int(state == "Submitted"),
        "running_count": int(state == "FullyExecuting"),
        "started": "" if state == "Submitted" else "0",
        "succeeded": "0" if state == "Success" else "",
        "failed": "0" if state == "Failure" else "",
        "cancelled": "0" if state == "Cancelled" else "",
        "succeeded_count": int(state == "Success"),
        "failed_count": int(state == "Failure"),
        "cancelled_count": int(state == "Cancelled"),
        "execution_microseconds": 0 if ended is None else ended - created,
        "demand_cores": 1.0,
        "demand_memory": 1 << 30,
        "scheduling": 1,
        "state": state,
        "previous_state": "FullyExecuting",
        "state_changed_at": ended or created,
        "created_at": created,
        "modified_at": created,
        "ended_at": ended,
    }
    return row, tags


def _instance(task: dict[str, Any], state: str) -> dict[str, Any]:
    failed = state == "Failure"
    return {
        "task_id": task["id"],
        "number": 0,
        "account_id": task["account_id"],
        "state": _ENDS[state],
        "attempt": 1,
        "failures": int(failed),
        "losses": 0,
        "dispatched_at": task["created_at"],
        "started_at": task["created_at"],
        "exited_at": task["ended_at"],
        "ended_at": task["ended_at"],
        "exit_code": int(failed),
        "error_code": "EXIT_CODE" if failed else None,
        "error_message": "the command exited with 1" if failed else None,
        "peak_memory": 50 << 20,
        "results": '["results/out.txt"]',
    }


async def prepared(folder: Path, count: int, url: str | None) -> tuple[TestSite, str]:
    """Return a site with that many tasks, and a token of its first account."""
    site = open_site(folder) if url is None else open_site(folder, url=url)
    told = folder / "token"
    if told.exists():
        return site, told.read_text()
    made = [await site.account() for _ in range(ACCOUNTS)]
    ids = [account.id for account, _ in made]
    with site.site.store.engine.connect().execution_options(hearth_write=True) as connection, connection.begin():
        fill(connection, ids, count)
        for account_id in ids:
            have = select(func.count()).where(tasks.c.account_id == account_id).scalar_subquery()
            connection.execute(update(accounts).where(accounts.c.id == account_id).values(tasks=have))
    told.write_text(made[0][1])
    return site, made[0][1]


def questions(count: int) -> dict[str, dict[str, Any]]:
    """Return what is asked, each a page request."""
    middle = BEGIN + count // 2 * SECOND
    dates = all_of(
        compare("creationDate", "GreaterThanOrEqual", format_date(middle - 3600 * SECOND)),
        compare("creationDate", "LessThan", format_date(middle + 3600 * SECOND)),
    )
    return {
        "newest": {},
        "by name": {"orderBy": "name"},
        "tag, half of all": {"filter": compare("tags", "Equal", "even")},
        "tag, a thousand": {"filter": compare("tags", "Equal", f"batch-{count // 3000}")},
        "tag, a hundred": {"filter": compare("tags", "Equal", "rare")},
        "tags, any of two": {"filter": any_of(compare("Tags", "Equal", "even"), compare("Tags", "Equal", "rare"))},
        "tags, both": {"filter": all_of(compare("Tags", "Equal", "even"), compare("Tags", "Equal", "rare"))},
        "state Success": {"filter": compare("state", "Equal", "Success")},
        "state Failure": {"filter": compare("state", "Equal", "Failure")},
        "states that live": {"filter": one_of("state", ["Submitted", "FullyExecuting", "PartiallyExecuting"])},
        "name prefix, few": {"filter": compare("name", "Like", "^job-123-")},
        "name prefix, many": {"filter": compare("name", "Like", "^job-1")},
        "shortname": {"filter": compare("shortname", "Equal", f"job-{count // 2}")},
        "dates": {"filter": dates},
        "state and tag": {
            "filter": all_of(compare("state", "Equal", "Failure"), compare("tags", "Equal", "odd")),
        },
        "no index, SQL": {"filter": compare("profile", "Equal", "another")},
        "no index, label": {"filter": compare("labels.team", "Equal", "team-7")},
        "no index, pattern": {"filter": compare("name", "Like", "-[0-9]*99$")},
        "no index, nothing": {"filter": compare("resultBucket", "Equal", "nowhere")},
    }


class Timed:
    """Seconds of each call."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.taken.append(time.perf_counter() - began)

    def told(self) -> str:
        """Return median and 99th percentile."""
        ordered = sorted(self.taken)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return f"p50 {statistics.median(ordered) * 1000:6.1f} ms   p99 {p99 * 1000:6.1f} ms"


async def measure(api: httpx.AsyncClient, path: str, name: str, told: dict[str, Any], pages: int) -> None:
    """Print what pages of 100 take, read one after the other; at the end it begins anew."""
    timed, found, token, total = Timed(), 0, None, 0
    for number in range(pages + 1):
        body = {**told, "maximumResults": 100, "token": token}
        with timed.call():
            answer = await api.post(path, json=body)
        page = answer.json()
        assert answer.status_code == 200, page
        if number == 0:
            timed.taken.clear()  # statements are compiled once
            total = page["total"]
        found += page["count"]
        token = page["nextToken"]
    print(f"{name:<22}{timed.told()}   {found / (pages + 1):5.0f} tasks a page, total {total}", flush=True)


async def run(folder: Path, count: int, pages: int, url: str | None) -> None:
    site, token = await prepared(folder, count, url)
    site.clock.now = BEGIN + count * SECOND
    quiet_collector()  # as servers do
    try:
        async with site.client(token) as api:
            for name, told in questions(count).items():
                await measure(api, "/tasks/paginate", name, told, pages)
            await measure(api, "/tasks/summaries/paginate", "newest, summaries", {}, pages)
            timed = Timed()
            chance = random.Random(2)
            while len(timed.taken) < 5 * pages:
                with timed.call():
                    answer = await api.get(f"/tasks/job-{chance.randrange(count)}")
                if answer.status_code != 200:  # another account's
                    timed.taken.pop()
            print(f"{'GET of one task':<22}{timed.told()}")
    finally:
        site.site.store.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--url", help="of an empty PostgreSQL database; SQLite is the default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(run(folder, given.tasks, given.pages, given.url))
    return 0


if __name__ == "__main__":
    sys.exit(main())
