"""Buckets: what tasks read, and what they leave."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from qarnot._keys import clean_key
from qarnot._progress import Transfer
from qarnot._sync import TRANSFER, download_all, send, send_all, synchronize
from qarnot.advanced_bucket import (
    AbstractFiltering,
    AbstractResourcesTransformation,
    Filtering,
    ResourcesTransformation,
)
from qarnot.exceptions import MissingBucketException
from qarnot.storage import LocalPath, Progress, Storage

if TYPE_CHECKING:
    from qarnot.connection import Connection


class MissingFileError(ClientError, ValueError):  # type: ignore[misc]
    """There is no such file in the bucket: a `ValueError`, and the storage's own error too."""


class Bucket(Storage):
    """A bucket of the account.

    Remote names are paths with `/`. Leading and doubled slashes are taken out of them, unless the
    connection was made with `sanitize_bucket_paths=False`.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        create: bool = True,
        filtering: Filtering | None = None,
        resources_transformation: ResourcesTransformation | None = None,
        cacheTTLSec: int | None = None,
    ) -> None:
        super().__init__()
        self._connection = connection
        self._uuid = name
        self._filtering = filtering or Filtering()
        self._resources_transformation = resources_transformation or ResourcesTransformation()
        self._cache_ttl_sec = cacheTTLSec
        if create:
            connection.s3client.create_bucket(Bucket=name)

    @property
    def uuid(self) -> str:
        """The bucket's name."""
        return self._uuid

    @property
    def description(self) -> str:
        """The bucket's name."""
        return self._uuid

    def to_json(self) -> dict[str, Any]:
        """Return the bucket as it travels among the resources of a task."""
        return {
            "bucketName": self._uuid,
            "filtering": self._filtering.to_json(),
            "resourcesTransformation": self._resources_transformation.to_json(),
            "cacheTTLSec": self._cache_ttl_sec,
        }

    @classmethod
    def from_json(cls, connection: Connection, json_bucket: dict[str, Any]) -> Bucket:
        """Return the bucket that an answer names."""
        return cls(
            connection,
            json_bucket["bucketName"],
            create=False,
            filtering=Filtering.from_json(json_bucket.get("filtering")),
            resources_transformation=ResourcesTransformation.from_json(json_bucket.get("resourcesTransformation")),
            cacheTTLSec=json_bucket.get("cacheTTLSec"),
        )

    def with_filtering(self, filtering: AbstractFiltering) -> Bucket:
        """Return this bucket with one more rule of which objects are taken as resources."""
        bucket = self._same()
        bucket._filtering.append(filtering)
        if self._connection._sanitize_bucket_paths:
            bucket._filtering.sanitize_filter_paths(self._connection._show_bucket_warnings)
        return bucket

    def with_resource_transformation(self, resource: AbstractResourcesTransformation) -> Bucket:
        """Return this bucket with one more rule of how its objects are named on the nodes."""
        bucket = self._same()
        bucket._resources_transformation.append(resource)
        if self._connection._sanitize_bucket_paths:
            bucket._resources_transformation.sanitize_transformation_paths(self._connection._show_bucket_warnings)
        return bucket

    def with_cache_ttl(self, ttl: int) -> Bucket:
        """Return this bucket with another time for which it is kept near the nodes."""
        bucket = self._same()
        bucket._cache_ttl_sec = ttl
        return bucket

    def delete(self) -> None:
        """Delete the bucket and all that is in it."""
        client = self._connection.s3client
        with self._missing_bucket_named():
            for page in client.get_paginator("list_object_versions").paginate(Bucket=self._uuid):
                versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                objects = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in versions]
                if objects:
                    client.delete_objects(Bucket=self._uuid, Delete={"Objects": objects, "Quiet": True})
            client.delete_bucket(Bucket=self._uuid)

    def list_files(self) -> list[Any]:
        """Return all objects of the bucket, as boto3's `ObjectSummary`."""
        with self._missing_bucket_named():
            return list(self._connection.s3resource.Bucket(self._uuid).objects.all())

    def directory(self, directory: str = "") -> list[Any]:
        """Return the objects whose name begins with `directory`."""
        prefix = self._key(directory)
        with self._missing_bucket_named():
            return list(self._connection.s3resource.Bucket(self._uuid).objects.filter(Prefix=prefix))

    def sync_directory(self, directory: LocalPath, verbose: bool = False, remote: str | None = None) -> None:
        """Make the bucket (below `remote`, if given) hold exactly what a local directory holds.

        Warning: objects that have no local file are deleted.
        """
        self.sync_files(
            {path.relative_to(directory).as_posix(): path for path in _files_below(directory)},
            verbose,
            remote,
        )

    def sync_files(self, files: Mapping[str, LocalPath], verbose: bool = False, remote: str | None = None) -> None:
        """Make the bucket (below `remote`, if given) hold exactly these files, given by remote name.

        Files are compared by name, size and checksum. Warning: other objects are deleted.
        """
        prefix = self._key(remote).rstrip("/") + "/" if remote else ""
        wanted = {prefix + self._key(name): Path(local) for name, local in files.items()}
        with self._missing_bucket_named():
            synchronize(
                self._connection.s3client,
                self._uuid,
                wanted,
                present=self.directory(prefix) if prefix else self.list_files(),
                say=self._connection.logger.info if verbose else None,
            )

    def sync_remote_to_local(self, local_directoy: LocalPath, remote_directory: str | None = None) -> None:
        """Fetch all objects (below `remote_directory`, if given) that a local directory does not hold yet.

        Local files of other names stay.
        """
        prefix = self._key(remote_directory).rstrip("/") + "/" if remote_directory else ""
        self._download(Path(local_directoy), prefix, None)

    def add_string(self, string: str, remote: str) -> None:
        """Send text as a file."""
        with self._missing_bucket_named():
            self._connection.s3client.put_object(Bucket=self._uuid, Key=self._key(remote), Body=string.encode("utf-8"))

    def add_file(self, local_or_file: LocalPath | IO[Any], remote: str | None = None) -> None:
        """Send a local file, or an open one, by default under its own name without folders."""
        client = self._connection.s3client
        with self._missing_bucket_named():
            if isinstance(local_or_file, str | os.PathLike):
                path = Path(local_or_file)
                send(client, self._uuid, self._key(remote or path.name), path)
                return
            name = remote or Path(str(getattr(local_or_file, "name", ""))).name
            if not name:
                raise ValueError("remote is needed: the open file has no name of its own")
            client.upload_fileobj(_binary(local_or_file), self._uuid, self._key(name), Config=TRANSFER)

    def add_directory(self, local: LocalPath, remote: str = "") -> None:
        """Send a local directory with all below it; links to directories are not followed."""
        prefix = f"{remote.rstrip('/')}/" if remote else ""
        files = {self._key(prefix + path.relative_to(local).as_posix()): path for path in _files_below(local)}
        with self._missing_bucket_named():
            send_all(self._connection.s3client, self._uuid, files)

    def get_all_files(self, output_dir: LocalPath, progress: Progress = None) -> None:
        """Fetch all objects into a local directory; files of the same names there are replaced.

        `progress` is a function of (bytes read, bytes in all, name), or True to show a line.
        """
        self._download(Path(output_dir), "", progress)

    def get_file(self, remote: str, local: LocalPath | None = None, progress: Progress = None) -> str:
        """Fetch one object, and return the local name that it got; folders are made as needed.

        The local name is by default the object's, without folders. Raises `ValueError` when there is
        no such object.
        """
        key = self._key(remote)
        target = Path(local if local is not None else Path(key).name)
        if target.is_dir():
            target = target / Path(key).name
        client = self._connection.s3client
        try:
            size = client.head_object(Bucket=self._uuid, Key=key)["ContentLength"]
        except ClientError as error:
            if not _is_missing(error):
                raise
            raise self._missing_file(key, error) from error
        target.parent.mkdir(parents=True, exist_ok=True)
        transfer = Transfer(progress, size, key)
        client.download_file(self._uuid, key, str(target), Callback=transfer, Config=TRANSFER)
        transfer.end()
        return str(local) if local is not None and target == Path(local) else str(target)

    def copy_file(self, source: str, dest: str) -> None:
        """Make a copy of an object under another name, without moving it through this machine."""
        with self._missing_bucket_named():
            self._connection.s3client.copy_object(
                Bucket=self._uuid,
                Key=self._key(dest),
                CopySource={"Bucket": self._uuid, "Key": self._key(source)},
            )

    def delete_file(self, remote: str) -> None:
        """Delete an object; one that is not there is no error."""
        with self._missing_bucket_named():
            self._connection.s3client.delete_object(Bucket=self._uuid, Key=self._key(remote))

    def flush(self) -> None:
        """Wait until all that was added is there: adding waits already."""

    def update(self, flush: bool | None = False) -> None:
        """Read again what is known of the bucket: nothing is kept here, so nothing is old."""

    def __contains__(self, item: object) -> bool:
        key = getattr(item, "key", item)
        if not isinstance(key, str):
            return False
        try:
            self._connection.s3client.head_object(Bucket=self._uuid, Key=self._key(key))
        except ClientError as error:
            if not _is_missing(error):
                raise
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Bucket)
            and other._connection.storage == self._connection.storage
            and other.to_json() == self.to_json()
        )

    def __hash__(self) -> int:
        return hash(self._uuid)

    def __repr__(self) -> str:
        return f"Bucket({self._uuid!r})"

    def _same(self) -> Bucket:
        return Bucket.from_json(self._connection, self.to_json())

    def _key(self, remote: str) -> str:
        if not self._connection._sanitize_bucket_paths:
            return remote
        warn = self._connection.logger_stderr if self._connection._show_bucket_warnings else None
        return clean_key(remote, warn=warn)

    def _download(self, directory: Path, prefix: str, progress: Progress) -> None:
        files = self.directory(prefix) if prefix else self.list_files()
        directory.mkdir(parents=True, exist_ok=True)
        with self._missing_bucket_named():
            download_all(self._connection.s3client, files, directory, prefix, progress)

    def _missing_file(self, key: str, error: ClientError) -> Exception:
        try:
            self._connection.s3client.head_bucket(Bucket=self._uuid)
        except ClientError:
            return MissingBucketException(f"no such bucket: {self._uuid}")
        return MissingFileError(
            {**error.response, "Error": {"Code": "404", "Message": f"no file {key!r} in bucket {self._uuid!r}"}},
            "HeadObject",
        )

    @contextmanager
    def _missing_bucket_named(self) -> Iterator[None]:
        """Turn the storage's word that there is no such bucket into this SDK's exception."""
        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchBucket":
                raise MissingBucketException(f"no such bucket: {self._uuid}") from error
            raise


def _is_missing(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey", "NotFound", "NoSuchBucket"}


def _files_below(directory: LocalPath) -> list[Path]:
    if not Path(directory).is_dir():
        raise NotADirectoryError(f"{str(directory)!r} is not a directory")
    files: list[Path] = []
    for folder, folders, names in os.walk(directory):
        folders.sort()
        files.extend(Path(folder) / name for name in sorted(names))
    return files


def _binary(file: IO[Any]) -> IO[bytes]:
    """Return an open file as one of bytes."""
    if isinstance(file, io.StringIO):
        return io.BytesIO(file.read().encode("utf-8"))
    if isinstance(file, io.TextIOBase):
        return file.buffer
    return file
