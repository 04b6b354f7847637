"""What S3 clients are told when something is refused."""

from __future__ import annotations

from hearth.control.uploads import InvalidPart, PartTooSmall
from hearth.domain.errors import Conflict, HearthError, Invalid, Missing, NotAllowed, QuotaExceeded, Unavailable
from hearth.store.queries.buckets import BucketNotEmpty

_STATUS = {
    "AccessDenied": 403,
    "AuthorizationHeaderMalformed": 400,
    "AuthorizationQueryParametersError": 400,
    "BadDigest": 400,
    "BucketNotEmpty": 409,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "IncompleteBody": 400,
    "InsufficientStorage": 507,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidBucketName": 400,
    "InvalidDigest": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidRange": 416,
    "InvalidRequest": 400,
    "InvalidURI": 400,
    "KeyTooLongError": 400,
    "MalformedXML": 400,
    "MaxMessageLengthExceeded": 400,
    "MetadataTooLarge": 400,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "MissingSecurityHeader": 400,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NotImplemented": 501,
    "NotModified": 304,
    "OperationAborted": 409,
    "PreconditionFailed": 412,
    "QuotaExceeded": 403,
    "RequestHeaderSectionTooLarge": 400,
    "RequestTimeTooSkewed": 403,
    "RequestTimeout": 400,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "XAmzContentSHA256Mismatch": 400,
}


class S3Error(Exception):
    """A refusal in S3's words. `fields` become elements of the answer, `headers` its headers."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status or _STATUS[code]
        self.fields = fields or {}
        self.headers = headers or {}


def in_s3_words(error: HearthError) -> S3Error:
    """Translate a refusal of the platform."""
    match error:
        case Missing(kind="bucket", name=name):
            return S3Error("NoSuchBucket", "The bucket does not exist", fields={"BucketName": name})
        case Missing(kind="key", name=name):
            return S3Error("NoSuchKey", "There is no object with this key", fields={"Key": name})
        case Missing(kind="upload", name=name):
            return S3Error("NoSuchUpload", "There is no such upload under way for this key", fields={"UploadId": name})
        case BucketNotEmpty():
            return S3Error("BucketNotEmpty", error.message)
        case InvalidPart():
            return S3Error("InvalidPart", error.message)
        case PartTooSmall():
            return S3Error("EntityTooSmall", error.message)
        case Invalid(field="bucket"):
            return S3Error("InvalidBucketName", error.message)
        case Invalid(field="x-amz-checksum"):
            return S3Error("BadDigest", error.message)
        case Invalid():
            return S3Error("InvalidArgument", error.message)
        case QuotaExceeded():
            return S3Error("QuotaExceeded", error.message)
        case NotAllowed():
            return S3Error("AccessDenied", error.message)
        case Conflict():
            return S3Error("OperationAborted", error.message)
        case Unavailable():
            return S3Error("ServiceUnavailable", error.message)
        case _:
            return S3Error("InternalError", "The storage failed at this; the server's log says where")
