"""Which call a request is: by its level (service, bucket, key), its method, and the parameters that name a part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hearth.gateway import bucket_calls, listing_calls, object_calls, upload_calls
from hearth.gateway.call import Answer, Call
from hearth.gateway.errors import S3Error
from hearth.gateway.request import Request

Handler = Callable[[Call], Awaitable[Answer]]

# Parameters that make a request one about something else than the bucket or the object itself.
_PARTS = frozenset(
    [
        "accelerate",
        "acl",
        "analytics",
        "attributes",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "list-type",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "partNumber",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versioning",
        "versions",
        "website",
    ]
)

_BUCKET: dict[tuple[str, frozenset[str]], Handler] = {
    ("PUT", frozenset()): bucket_calls.create,
    ("HEAD", frozenset()): bucket_calls.head,
    ("DELETE", frozenset()): bucket_calls.delete,
    ("POST", frozenset({"delete"})): bucket_calls.delete_many,
    ("GET", frozenset({"location"})): bucket_calls.location,
    ("GET", frozenset({"versioning"})): bucket_calls.versioning,
    ("GET", frozenset({"acl"})): bucket_calls.acl,
    ("GET", frozenset()): listing_calls.list_v1,
    ("GET", frozenset({"list-type"})): listing_calls.list_v2,
    ("GET", frozenset({"versions"})): listing_calls.list_versions,
    ("GET", frozenset({"uploads"})): upload_calls.list_uploads,
    **{
        ("GET", frozenset({name})): bucket_calls.nothing_set
        for name in (
            [
                "cors",
                "encryption",
                "lifecycle",
                "object-lock",
                "ownershipControls",
                "policy",
                "publicAccessBlock",
                "replication",
                "tagging",
                "website",
            ]
        )
    },
}

_OBJECT: dict[tuple[str, frozenset[str]], Handler] = {
    ("PUT", frozenset()): object_calls.put,
    ("GET", frozenset()): object_calls.get,
    ("HEAD", frozenset()): object_calls.head,
    ("DELETE", frozenset()): object_calls.delete,
    ("GET", frozenset({"acl"})): object_calls.acl,
    ("GET", frozenset({"tagging"})): object_calls.tagging,
    ("POST", frozenset({"uploads"})): upload_calls.create,
    ("PUT", frozenset({"uploadId", "partNumber"})): upload_calls.upload_part,
    ("POST", frozenset({"uploadId"})): upload_calls.complete,
    ("DELETE", frozenset({"uploadId"})): upload_calls.abort,
    ("GET", frozenset({"uploadId"})): upload_calls.list_parts,
}

_COPIES: dict[Handler, Handler] = {
    object_calls.put: object_calls.copy,
    upload_calls.upload_part: upload_calls.copy_part,
}


def route(request: Request) -> Handler:
    """Return what answers the request; S3Error when nothing does."""
    parts = frozenset(name for name, _ in request.parameters if name in _PARTS)
    if not request.bucket:
        if request.method == "GET" and not parts:
            return bucket_calls.list_buckets
        raise S3Error("MethodNotAllowed", f"{request.method} needs a bucket in its path")
    found = (_OBJECT if request.key else _BUCKET).get((request.method, parts))
    if found is not None:
        copies = request.header("x-amz-copy-source") is not None
        return _COPIES.get(found, found) if copies else found
    if parts:
        what = ", ".join(sorted(parts))
        raise S3Error("NotImplemented", f"{request.method} with {what} is not offered here")
    raise S3Error("MethodNotAllowed", f"{request.method} is not possible here")
