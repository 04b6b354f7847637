"""See the whole platform work on this machine: `make demo`.

Starts Hearth in a temporary folder, makes an account, uploads a book chapter by chapter, counts the words of all
chapters in one task of twelve instances, follows states and output live, downloads the results, prints a table
made from them, and ends everything. Only the public `qarnot` SDK and the `hearth` command are used.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import qarnot

TEXT = Path(__file__).parent / "text"
RESULTS = Path("demo-results")
CHAPTERS = sorted(TEXT.glob("chapter-*.txt"))
HEARTH = [sys.executable, "-m", "hearth.cli.main"]

# One instance counts one chapter. Plain tools that every image has; a moment's sleep, so that there is
# something to watch on a fast machine.
COUNT = r"""
chapter=$(printf %02d $INSTANCE_ID)
title=$(sed -n 3p chapter-$chapter.txt)
echo "reading chapter $INSTANCE_ID: $title"
sleep 0.4
mkdir -p counts
tr -cs "A-Za-z" "\n" < chapter-$chapter.txt | tr A-Z a-z | grep . | sort | uniq -c | sort -rn \
    | while read count word; do echo "$word,$count"; done > counts/chapter-$chapter.csv
echo "counted $(wc -l < counts/chapter-$chapter.csv) different words"
"""


def main() -> int:
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="hearth-demo-"))
    platform = start(folder / "data")
    try:
        connection = connect(folder / "data")
        upload(connection)
        count_words(connection)
        print_table()
        print(f"\nThe files are in {RESULTS}/.", flush=True)
    finally:
        stop(platform)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"Everything has ended, after {time.monotonic() - began:.1f} s.")
    return 0


def start(data: Path) -> subprocess.Popen[str]:
    """Start the platform on free ports and show what it says until it is up."""
    say("Starting Hearth")
    platform = subprocess.Popen(
        [*HEARTH, "up", "--data", str(data), "--api-port", "0", "--storage-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is ours: we end it in order
    )
    assert platform.stdout is not None
    for line in platform.stdout:
        if line.startswith("Next:"):
            return platform
        if "configuration" not in line and "logs" not in line:
            print("  " + line.rstrip())
    raise SystemExit("Hearth did not start; see the messages above")


def connect(data: Path) -> qarnot.connection.Connection:
    """Make an account of our own, and connect as it."""
    created = subprocess.run(
        [*HEARTH, "account", "create", "reader@example.org", "--data", str(data)],
        check=True,
        capture_output=True,
        text=True,
    )
    url = next(line for line in (data / "qarnot.conf").read_text().splitlines() if line.startswith("url="))
    connection = qarnot.connection.Connection(cluster_url=url.removeprefix("url="), client_token=created.stdout.strip())
    say(f"Made the account {connection.user_info.email}")
    return connection


def upload(connection: qarnot.connection.Connection) -> None:
    """Put the chapters into a bucket."""
    bucket = connection.create_bucket("book")
    bucket.sync_directory(str(TEXT))
    size = sum(path.stat().st_size for path in TEXT.iterdir())
    say(f"Uploaded {len(CHAPTERS)} chapters ({size // 1000} kB) into the bucket 'book'")


def count_words(connection: qarnot.connection.Connection) -> None:
    """Run one task of an instance per chapter, follow it, and fetch its results."""
    task = connection.create_task("count words", "docker-batch", 0)
    task.advanced_range = f"1-{len(CHAPTERS)}"
    task.constants["DOCKER_CMD"] = "sh -c '" + COUNT.replace("'", "'\\''") + "'"
    task.resources.append(connection.retrieve_bucket("book"))
    task.results = connection.create_bucket("counts")
    task.submit()
    say(f"Submitted one task of {len(CHAPTERS)} instances")
    state = None
    while True:
        task.update(True)
        for line in task.fresh_stdout().splitlines():
            print("    " + line)
        if task.state != state:
            state = task.state
            done = int(task.progress or 0)
            print(f"  {state:<20} {done:3d} %  {task.running_instance_count} running")
        if state in ("Success", "Failure", "Cancelled"):
            break
        time.sleep(0.1)
    for line in task.fresh_stdout().splitlines():
        print("    " + line)
    if state != "Success":
        raise SystemExit(f"the task ended as {state}: {task.errors[0].message}\n{task.stderr()}")
    shutil.rmtree(RESULTS, ignore_errors=True)
    task.download_results(str(RESULTS))
    say(f"Downloaded {sum(1 for path in RESULTS.rglob('*') if path.is_file())} files")


def print_table() -> None:
    """Print what the downloaded files say."""
    print(
        f"\n  {'chapter':<36}{'words':>8}{'different':>11}  longest          most used (5 letters or more, but Alice)"
    )
    words_in_all = 0
    for number, chapter in enumerate(CHAPTERS, 1):
        title = chapter.read_text("ascii").splitlines()[2]
        with (RESULTS / "counts" / f"chapter-{number:02}.csv").open() as file:
            counts = {word: int(count) for word, count in csv.reader(file)}
        total = sum(counts.values())
        words_in_all += total
        longest = max(counts, key=lambda word: (len(word), word))
        used = max(
            (word for word in counts if len(word) >= 5 and word != "alice"), key=lambda word: (counts[word], word)
        )
        print(f"  {number:>2}. {title:<32}{total:>8}{len(counts):>11}  {longest:<16} {used} ({counts[used]})")
    print(f"  {'all':<36}{words_in_all:>8}")


def stop(platform: subprocess.Popen[str]) -> None:
    """End the platform and wait until all of it is gone."""
    if platform.poll() is None:
        platform.send_signal(signal.SIGTERM)
    try:
        platform.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(platform.pid, signal.SIGKILL)


def say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
