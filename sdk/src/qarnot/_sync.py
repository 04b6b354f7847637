"""Moving many files between a directory and a bucket, and only those that differ."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from boto3.s3.transfer import TransferConfig

from qarnot._etag import PART_BYTES, file_etag
from qarnot._keys import local_path
from qarnot._progress import Transfer
from qarnot.exceptions import QarnotGenericException
from qarnot.storage import Progress

_THREADS: Final = 8
_LARGEST_COPY_BYTES: Final = 5 * 1024**3
TRANSFER: Final = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)

Content = tuple[str, int]


def send(client: Any, bucket: str, key: str, path: Path) -> None:
    """Send one file: in one request if it is small, else in parts and several at a time."""
    if path.stat().st_size >= PART_BYTES:
        client.upload_file(str(path), bucket, key, Config=TRANSFER)
        return
    with path.open("rb") as file:
        client.put_object(Bucket=bucket, Key=key, Body=file)


def send_all(client: Any, bucket: str, files: Mapping[str, Path]) -> None:
    """Send files, given by key."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda item: send(client, bucket, *item), files.items()):
            pass


def synchronize(
    client: Any,
    bucket: str,
    wanted: Mapping[str, Path],
    present: Iterable[Any],
    say: Callable[[str], None] | None,
) -> None:
    """Make the objects of `present` into exactly the files of `wanted`, given by key.

    Content that is in the bucket under another key is copied there, each other content is sent once.
    """
    contents: dict[str, Content] = {item.key: (item.e_tag, item.size) for item in present}
    tell = say or (lambda _: None)
    for key, path in sorted(wanted.items()):
        content = (file_etag(path), path.stat().st_size)
        if contents.get(key) == content:
            continue
        # A key whose content was replaced a moment ago is not found here any more.
        source = next((other for other, held in contents.items() if held == content), None)
        if source is not None and content[1] < _LARGEST_COPY_BYTES:
            tell(f"copy {source} to {key}")
            client.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": source})
        else:
            tell(f"send {path} as {key}")
            send(client, bucket, key, path)
        contents[key] = content
    for key in sorted(contents.keys() - wanted.keys()):
        tell(f"delete {key}")
        client.delete_object(Bucket=bucket, Key=key)


def download_all(client: Any, files: Iterable[Any], directory: Path, prefix: str, progress: Progress) -> None:
    """Fetch objects into a directory, each content once; a file that is there already stays."""
    alike: dict[Content, list[tuple[Any, Path]]] = defaultdict(list)
    refused: list[str] = []
    for item in files:
        name = item.key.removeprefix(prefix)
        try:
            target = local_path(directory, name)
        except ValueError as error:
            if name.strip("/"):
                refused.append(str(error))
            continue
        if item.key.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            alike[item.e_tag, item.size].append((item, target))

    def fetch(group: tuple[Content, list[tuple[Any, Path]]]) -> None:
        content, copies = group
        first = next((target for _, target in copies if _holds(target, content)), None)
        for item, target in copies:
            target.parent.mkdir(parents=True, exist_ok=True)
            if first is None:
                _download(client, item, target, progress)
                first = target
            elif target != first and not _holds(target, content):
                shutil.copyfile(first, target)

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(fetch, alike.items()):
            pass
    if refused:
        raise QarnotGenericException("; ".join(refused))


def _holds(path: Path, content: Content) -> bool:
    etag, size = content
    return path.is_file() and path.stat().st_size == size and file_etag(path) == etag


def _download(client: Any, item: Any, target: Path, progress: Progress) -> None:
    transfer = Transfer(progress, item.size, item.key)
    if item.size >= PART_BYTES:
        client.download_file(item.bucket_name, item.key, str(target), Callback=transfer, Config=TRANSFER)
    else:
        body = client.get_object(Bucket=item.bucket_name, Key=item.key)["Body"]
        partial = target.with_name(f".{target.name}.part")
        try:
            with partial.open("wb") as file:
                for chunk in body.iter_chunks(1024 * 1024):
                    file.write(chunk)
                    transfer(len(chunk))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    transfer.end()
