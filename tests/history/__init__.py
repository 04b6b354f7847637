"""What clients were told against what really happened: the laws of the design, read from the outside.

    history = History(folder)                       # before the first task
    history.watch(platform)                         # everything that its accounts are told is written down
    user = platform.account()
    user.submit(**history.fields("echo hello"))     # a command that leaves evidence on the host
    ...
    assert history.broken(platform.data) == []      # when everything has ended

`record` hears the client, `evidence` is what instances wrote down, `truth` is the final database, `laws` compares.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tests.history.evidence import Evidence
from tests.history.laws import LAWS, Story, check
from tests.history.record import Record
from tests.history.truth import read_truth
from tests.services.account import Account, Json
from tests.services.platform import Platform

__all__ = ["LAWS", "History"]


class History:
    """One platform's story, from its first request to its last."""

    def __init__(self, folder: Path) -> None:
        self.record = Record()
        self.evidence = Evidence(folder / "evidence")

    def watch(self, platform: Platform) -> None:
        """Write down from now on what the accounts of a platform are told."""
        make = platform.account

        def account(email: str = "me@localhost", token: str = "") -> Account:
            return self.record.watch(make(email, token))

        platform.account = account  # type: ignore[method-assign]

    def fields(self, script: str, **constants: str) -> Json:
        """Return the fields of a task whose instances run a shell script and leave evidence of it."""
        return self.evidence.fields(script, **constants)

    def look(self, account: Account, bucket: str) -> dict[str, str]:
        """Read all of a bucket as its owner, and write down what was shown."""
        sent = self.record.now()
        files = account.files(bucket)
        self.record.show(account.email, bucket, sent, files)
        return files

    def broken(self, data: Path, *, leaving_out: Collection[str] = ()) -> list[str]:
        """Return what contradicts a law, in words; nothing, if everybody was told the truth."""
        story = Story(self.record.exchanges, self.record.shown, self.evidence.attempts(), read_truth(data))
        return check(story, leaving_out)
