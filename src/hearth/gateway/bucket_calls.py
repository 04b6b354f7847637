"""Calls on buckets, but for listings of what is in them."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from hearth.control.buckets import create_bucket, delete_bucket, require
from hearth.control.objects import delete_objects
from hearth.gateway import xml
from hearth.gateway.call import Answer, Call, xml_answer
from hearth.gateway.conditions import iso_date
from hearth.gateway.errors import S3Error
from hearth.gateway.request import require_key
from hearth.gateway.xml import Markup, element
from hearth.store.queries import buckets
from hearth.store.queries.buckets import BucketRow

MAX_XML_BYTES = 8 * 1024 * 1024
MAX_DELETED_KEYS = 1000
_NOTHING_SET = {
    "cors": "NoSuchCORSConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "tagging": "NoSuchTagSet",
    "website": "NoSuchWebsiteConfiguration",
}


async def list_buckets(call: Call) -> Answer:
    """GET /"""
    found = await call.store.read(buckets.listing, call.account_id)
    entries = [
        element("Bucket", element("Name", row.name), element("CreationDate", iso_date(row.created_at))) for row in found
    ]
    return xml_answer("ListAllMyBucketsResult", owner(call), element("Buckets", *entries))


async def create(call: Call) -> Answer:
    """PUT /bucket: also of one that the caller has already; a LocationConstraint of any region is fine."""
    body = await call.body.read(MAX_XML_BYTES)
    if body:
        xml.parse(body, "CreateBucketConfiguration")
    await create_bucket(call.store, call.account_id, call.request.bucket, call.now)
    return Answer(headers={"location": f"/{call.request.bucket}"})


async def head(call: Call) -> Answer:
    """HEAD /bucket, with its statistics in the headers of Ceph's gateway."""
    bucket = await call.store.read(require, call.account_id, call.request.bucket)
    return Answer(
        headers={
            "content-type": "application/xml",
            "x-amz-bucket-region": "us-east-1",
            "x-rgw-object-count": str(bucket.objects),
            "x-rgw-bytes-used": str(bucket.size_bytes),
        }
    )


async def delete(call: Call) -> Answer:
    """DELETE /bucket"""
    await delete_bucket(call.store, call.account_id, call.request.bucket, call.now)
    return Answer(204)


async def location(call: Call) -> Answer:
    """GET /bucket?location"""
    await call.store.read(require, call.account_id, call.request.bucket)
    return xml_answer("LocationConstraint")


async def versioning(call: Call) -> Answer:
    """GET /bucket?versioning: there is none."""
    await call.store.read(require, call.account_id, call.request.bucket)
    return xml_answer("VersioningConfiguration")


async def acl(call: Call) -> Answer:
    """GET /bucket?acl: all belongs to the account."""
    await call.store.read(require, call.account_id, call.request.bucket)
    return acl_answer(call)


async def nothing_set(call: Call) -> Answer:
    """GET of a setting that no bucket has."""
    await call.store.read(require, call.account_id, call.request.bucket)
    names = {name for name, _ in call.request.parameters}
    code = next(code for name, code in _NOTHING_SET.items() if name in names)
    raise S3Error(code, "The bucket has nothing of this kind", status=404)


async def delete_many(call: Call) -> Answer:
    """POST /bucket?delete"""
    root = await read_xml(call, "Delete")
    wanted = root.all("Object")
    if not 0 < len(wanted) <= MAX_DELETED_KEYS:
        raise S3Error("MalformedXML", f"Delete must have 1 to {MAX_DELETED_KEYS} Objects, not {len(wanted)}")
    keys: list[str] = []
    deleted: list[Markup] = []
    errors: list[Markup] = []
    for each in wanted:
        key, version = each.value("Key"), each.value("VersionId")
        if not key:
            raise S3Error("MalformedXML", "Every Object needs a Key")
        require_key(key)
        named = [element("Key", key), *([element("VersionId", version)] if version is not None else [])]
        if version in (None, "", "null"):
            keys.append(key)
            deleted.append(element("Deleted", *named))
        else:
            text = "Buckets here have no versions; the only VersionId is null"
            errors.append(element("Error", *named, element("Code", "NoSuchVersion"), element("Message", text)))
    await delete_objects(call.store, call.account_id, call.request.bucket, keys, call.now)
    quiet = (root.value("Quiet") or "").strip().lower() == "true"
    return xml_answer("DeleteResult", *([] if quiet else deleted), *errors)


async def read_xml(call: Call, root: str) -> xml.Element:
    """Return the body's XML; a large one is parsed beside the event loop."""
    body = await call.body.read(MAX_XML_BYTES)
    if len(body) < 64 * 1024:
        return xml.parse(body, root)
    return await asyncio.to_thread(xml.parse, body, root)


def owner(call: Call, name: str = "Owner") -> Markup:
    """Return the element that names the account."""
    return element(name, element("ID", call.caller.email), element("DisplayName", call.caller.email))


def acl_answer(call: Call) -> Answer:
    """Return the one access list that there is."""
    grantee = Markup(
        '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
        f"{element('ID', call.caller.email)}{element('DisplayName', call.caller.email)}</Grantee>"
    )
    grant = element("Grant", grantee, element("Permission", "FULL_CONTROL"))
    return xml_answer("AccessControlPolicy", owner(call), element("AccessControlList", grant))


def bucket_of(connection: Connection, call: Call) -> BucketRow:
    """Return the bucket that a call names, or raise Missing."""
    return require(connection, call.account_id, call.request.bucket)
