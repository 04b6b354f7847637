"""A second account, made while the server runs, and the wall between the two."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.services.account import Account, a_task
from tests.services.platform import Platform


@pytest.fixture(scope="module")
def other(shared_platform: Platform) -> Account:
    """Another account, made by the command."""
    made = shared_platform.run("account", "create", "other@example.org")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("hearth_")
    assert made.stdout.count("\n") == 1
    return shared_platform.account("other@example.org", made.stdout.strip())


@pytest.fixture
def theirs(user: Account) -> str:
    """A finished task of the first account, with output and a tag."""
    task = user.run("echo private", name="private task", tags=["private"], shortname=None, labels={"a": "b"})
    return str(task["uuid"])


def test_the_token_of_a_new_account_works_while_the_server_runs(other: Account) -> None:
    assert other.api.get("/info").json()["email"] == "other@example.org"
    task = other.run("echo mine > mine", shell=True, resultBucket="mine")
    assert task["state"] == "Success"
    assert other.files("mine") == {"mine": "mine\n"}


@pytest.mark.parametrize("email", ["other@example.org", "OTHER@example.org", "", "no-address", "a b@example.org"])
def test_an_address_that_is_taken_or_none_is_refused(shared_platform: Platform, other: Account, email: str) -> None:
    refused = shared_platform.run("account", "create", email)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "email" in refused.stderr


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("PUT", ""),
        ("POST", "/abort"),
        ("GET", "/stdout"),
        ("POST", "/stdout"),
        ("GET", "/stderr"),
        ("GET", "/stdout/0"),
        ("POST", "/stderr/0"),
        ("GET", "/instances"),
        ("POST", "/retry"),
        ("POST", "/clone"),
        ("POST", "/snapshot"),
    ],
)
def test_a_task_of_another_is_not_there(user: Account, other: Account, theirs: str, method: str, path: str) -> None:
    unknown = "11111111-1111-4111-8111-111111111111"
    body = {"tags": ["mine"]} if method == "PUT" else None
    answers = [other.api.request(method, f"/tasks/{uuid}{path}", json=body) for uuid in (theirs, unknown)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(theirs, "") == answers[1].text.replace(unknown, "")
    assert user.task(theirs)["tags"] == ["private"]


def test_no_list_and_no_search_shows_what_is_anothers(user: Account, other: Account, theirs: str) -> None:
    everything = {"filter": None, "maximumResults": None}
    by_tag = {"filter": {"operator": "Equal", "field": "Tags", "value": "private"}}
    by_uuid = {"filter": {"operator": "Equal", "field": "Uuid", "value": theirs}}
    for path, body in (
        ("/tasks", None),
        ("/tasks/summaries", None),
        ("/tasks?tag=private", None),
        ("/tasks/paginate", everything),
        ("/tasks/summaries/paginate", by_tag),
        ("/tasks/search", by_tag),
        ("/tasks/search", by_uuid),
    ):
        seen = [who.api.get(path) if body is None else who.post(path, body) for who in (user, other)]
        assert [answer.status_code for answer in seen] == [200, 200]
        assert theirs in seen[0].text, path
        assert theirs not in seen[1].text, path


def test_shortnames_and_buckets_of_two_accounts_may_have_the_same_name(user: Account, other: Account) -> None:
    first = user.submit("echo first", shortname="same-name")
    second = other.submit("echo second", shortname="same-name")
    assert user.task("same-name")["uuid"] == first
    assert other.task("same-name")["uuid"] == second
    for who in (user, other):
        who.make_bucket("same-bucket", file=who.email)
    for who in (user, other):
        assert who.files("same-bucket") == {"file": who.email}
        task = who.run("cat file", resourceBuckets=["same-bucket"], resultBucket="same-bucket")
        assert who.stdout(task["uuid"], 0) == who.email


def test_a_bucket_of_another_can_be_neither_read_nor_used(user: Account, other: Account) -> None:
    user.make_bucket("closed", file="private")
    for call in (
        lambda: other.s3.list_objects_v2(Bucket="closed"),
        lambda: other.s3.get_object(Bucket="closed", Key="file"),
        lambda: other.s3.put_object(Bucket="closed", Key="file", Body=b"mine"),
        lambda: other.s3.delete_object(Bucket="closed", Key="file"),
        lambda: other.s3.delete_bucket(Bucket="closed"),
        lambda: other.s3.copy_object(Bucket="mine", Key="x", CopySource="closed/file"),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "NoSuchBucket"
    assert "closed" not in [bucket["Name"] for bucket in other.s3.list_buckets()["Buckets"]]
    answer = other.post("/tasks", a_task("cat file", resourceBuckets=["closed"]))
    assert answer.status_code == 404
    assert answer.json()["message"] == "No such bucket: closed"
    assert user.files("closed") == {"file": "private"}


def test_an_address_does_not_go_with_the_token_of_another(shared_platform: Platform, other: Account) -> None:
    for key, secret in (("me@localhost", other.token), ("other@example.org", shared_platform.token), ("nobody", "x")):
        s3 = boto3.client(
            "s3",
            endpoint_url=shared_platform.storage_url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )
        with pytest.raises(ClientError) as refused:
            s3.list_buckets()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert refused.value.response["Error"]["Code"] in ("SignatureDoesNotMatch", "InvalidAccessKeyId")
