"""Connecting, lists, profiles, quotas."""

import pytest

import qarnot
from qarnot.connection import Connection
from qarnot.exceptions import (
    BucketStorageUnavailableException,
    MissingJobException,
    MissingPoolException,
    MissingProfileException,
    MissingTaskException,
    QarnotGenericException,
    UnauthorizedException,
)

TOKEN = "tok123"


def test_a_connection_asks_for_the_storage_and_the_account(platform):
    connection = Connection(client_token=TOKEN, cluster_url=platform.url)
    assert platform.lines() == ["GET /settings", "GET /info"]
    assert (connection.cluster, connection.storage) == (platform.url, platform.settings["storage"])


def test_every_request_carries_the_bare_token_and_the_sdk_s_name(platform):
    Connection(client_token=TOKEN, cluster_url=platform.url)
    headers = platform.requests[-1].headers
    assert headers["Authorization"] == TOKEN
    assert headers["User-Agent"].startswith(f"qarnot-sdk-python/{qarnot.__version__} ")


def test_a_token_is_needed(platform):
    with pytest.raises(QarnotGenericException, match=r"^Error: Token is mandatory\.$"):
        Connection(cluster_url=platform.url)


def test_a_wrong_token_is_refused_at_once(platform):
    with pytest.raises(UnauthorizedException):
        Connection(client_token="wrong", cluster_url=platform.url)


def test_a_file_configures(platform, tmp_path):
    file = tmp_path / "qarnot.conf"
    file.write_text(
        f"[cluster]\nurl={platform.url}/\ntimeout=12\nunsafe=False\n[client]\ntoken={TOKEN}\n"
        "[storage]\nurl=http://storage.test\n"
    )
    connection = Connection(str(file))
    assert (connection.timeout, connection.storage) == (12, "http://storage.test")
    assert platform.lines() == ["GET /info"]
    assert Connection(file).timeout == 12


def test_the_old_name_of_the_token_in_a_file_still_works(platform, tmp_path):
    file = tmp_path / "qarnot.conf"
    file.write_text(f"[cluster]\nurl={platform.url}\n[client]\nauth={TOKEN}\n")
    assert Connection(str(file)).user_info.email == "user@hearth.test"


def test_a_file_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.conf"):
        Connection(str(tmp_path / "none.conf"))


def test_a_dict_configures_without_a_timeout(platform):
    connection = Connection({"cluster_url": platform.url, "client_auth": TOKEN, "storage_url": "http://s.test"})
    assert (connection.timeout, connection.storage) == (None, "http://s.test")


def test_the_environment_configures(platform, monkeypatch):
    monkeypatch.setenv("QARNOT_CLUSTER_URL", platform.url)
    monkeypatch.setenv("QARNOT_CLIENT_TOKEN", TOKEN)
    monkeypatch.setenv("QARNOT_CLUSTER_TIMEOUT", "7")
    monkeypatch.setenv("QARNOT_STORAGE_URL", "http://env.test")
    connection = Connection()
    assert (connection.timeout, connection.storage) == (7, "http://env.test")


def test_arguments_go_before_the_file_and_the_file_before_the_environment(platform, tmp_path, monkeypatch):
    file = tmp_path / "qarnot.conf"
    file.write_text(f"[cluster]\nurl={platform.url}\n[client]\ntoken=file-token\n[storage]\nurl=http://f.test\n")
    monkeypatch.setenv("QARNOT_STORAGE_URL", "http://env.test")
    monkeypatch.setenv("QARNOT_CLUSTER_URL", "http://127.0.0.1:1")
    assert Connection(str(file), client_token=TOKEN).storage == "http://f.test"
    assert Connection(str(file), TOKEN, storage_url="http://a.test").storage == "http://a.test"


@pytest.mark.parametrize("word", ["true", "True", "1"])
def test_the_environment_may_switch_certificate_checks_off_whatever_else_is_said(word, monkeypatch):
    from qarnot._configuration import configure

    environment = {"QARNOT_CLUSTER_UNSAFE": word}
    options = {"client_token": "t", "cluster_unsafe": False, "cluster_custom_certificate": "ca.pem"}
    assert configure(options, None, environment).cluster_verify is False


def test_certificates_are_checked_with_the_system_s_or_with_one_s_own():
    from qarnot._configuration import configure

    assert configure({"client_token": "t"}, None, {}).cluster_verify is True
    own = {"client_token": "t", "cluster_custom_certificate": "a.pem", "storage_custom_certificate": "b.pem"}
    configuration = configure(own, None, {})
    assert (configuration.cluster_verify, configuration.storage_verify) == ("a.pem", "b.pem")
    assert configure({**own, "storage_unsafe": True}, None, {}).storage_verify is False


@pytest.mark.parametrize(
    ("options", "field"),
    [({"cluster_timeout": "soon"}, "cluster_timeout"), ({"cluster_unsafe": "maybe"}, "cluster_unsafe")],
)
def test_a_senseless_option_is_named(options, field):
    with pytest.raises(QarnotGenericException, match=f"{field} should be"):
        Connection({"client_auth": "t", "cluster_url": "http://127.0.0.1:1", **options})


def test_a_platform_without_storage_works_and_refuses_buckets(platform):
    platform.settings = {"storage": None}
    connection = Connection(client_token=TOKEN, cluster_url=platform.url)
    assert platform.lines() == ["GET /settings"]
    assert connection.storage is None
    with pytest.raises(BucketStorageUnavailableException):
        connection.create_bucket("b")
    with pytest.raises(BucketStorageUnavailableException):
        connection.buckets()


def test_s3_is_signed_with_the_account_s_email_and_the_token(platform):
    connection = Connection(client_token=TOKEN, cluster_url=platform.url)
    credentials = connection.s3client._request_signer._credentials
    assert (credentials.access_key, credentials.secret_key) == ("user@hearth.test", TOKEN)
    config = connection.s3client.meta.config
    assert (config.signature_version, config.s3["addressing_style"]) == ("s3v4", "path")
    assert config.request_checksum_calculation == "when_required"
    assert connection.s3resource.meta.client.meta.endpoint_url == connection.storage


def test_the_account_says_what_it_has(connection, platform):
    platform.info |= {
        "maxFlexCores": 64,
        "maxFlexInstances": 8,
        "runningFlexCoreCount": 4,
        "projects": [{"uuid": "p1", "name": "One", "slug": "default"}, {"uuid": "p2", "name": "Two"}],
    }
    user = connection.user_info
    assert (user.email, user.max_task, user.task_count, user.bucket_count) == ("user@hearth.test", 100, 3, -1)
    assert user.max_cores == 64
    flex = user.computing_quotas.user.flex
    assert (flex.max_cores, flex.running_cores_count, flex.max_instances) == (64, 4, 8)
    assert [(project.uuid, project.is_default) for project in user.projects] == [("p1", True), ("p2", False)]
    assert qarnot.project.Project.retrieve_by_name(connection, "Two").uuid == "p2"


def test_profiles_are_fetched_with_their_constants_and_lost_ones_skipped(connection, platform, answer):
    platform.prepare("GET /profiles", answer(body=["docker-batch", "gone"]))
    constants = [{"name": "DOCKER_CMD", "value": "", "description": "d"}]
    platform.prepare("GET /profiles/docker-batch", answer(body={"name": "docker-batch", "constants": constants}))
    assert connection.profiles_names() == ["docker-batch", "gone"]
    (profile,) = connection.profiles()
    assert (profile.name, profile.constants) == ("docker-batch", [("DOCKER_CMD", "")])
    assert connection.profile_details("gone") is None
    with pytest.raises(MissingProfileException):
        connection.retrieve_profile("gone")


def page(items, **more):
    return {"data": items, "token": None, "nextToken": None, "isTruncated": False, **more}


def test_lists_without_tags_bring_summaries(connection, platform, answer):
    platform.prepare("POST /tasks/summaries/paginate", answer(body=page([{"uuid": "u", "name": "n"}])))
    (task,) = connection.tasks()
    assert (task.uuid, task.name, task.instancecount, task.state) == ("u", "n", 0, "UnSubmitted")
    assert platform.bodies("POST /tasks/summaries/paginate") == [
        {"filter": None, "token": None, "maximumResults": None}
    ]


def test_a_summary_is_completed_when_more_is_asked_of_it(connection, platform, answer):
    platform.prepare("POST /tasks/summaries/paginate", answer(body=page([{"uuid": "u", "name": "n"}])))
    platform.prepare("GET /tasks/u", answer(body={"uuid": "u", "name": "n", "constants": [{"key": "A", "value": "1"}]}))
    (task,) = connection.all_tasks()
    platform.requests.clear()
    assert task.constants == {"A": "1"}
    assert task.constants == {"A": "1"}
    assert platform.lines() == ["GET /tasks/u"]


EQUAL = [{"operator": "Equal", "field": "Tags", "value": value} for value in ("a", "b")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tags": ["a", "b"]}, {"operator": "Or", "filters": EQUAL}),
        ({"tags_intersect": ["a", "b"]}, {"operator": "And", "filters": EQUAL}),
        ({"tags": ["a"]}, EQUAL[0]),
        ({"tags": ["a"], "tags_intersect": ["b"]}, {"operator": "And", "filters": EQUAL}),
        ({"summary": False}, None),
    ],
)
def test_tags_become_filters(connection, platform, answer, options, expected):
    platform.prepare("POST /tasks/paginate", answer(body=page([])))
    assert connection.tasks(**options) == []
    assert platform.bodies("POST /tasks/paginate") == [{"filter": expected, "token": None, "maximumResults": None}]


def test_all_pages_are_read(connection, platform, answer):
    first = page([{"uuid": "1", "name": "a"}], isTruncated=True, nextToken="next")
    platform.prepare("POST /tasks/paginate", answer(body=first), answer(body=page([{"uuid": "2", "name": "b"}])))
    assert [task.uuid for task in connection.all_tasks(summary=False)] == ["1", "2"]
    assert [body["token"] for body in platform.bodies("POST /tasks/paginate")] == [None, "next"]


def test_one_page_says_how_to_go_on(connection, platform, answer):
    platform.prepare("POST /tasks/paginate", answer(body=page([{"uuid": "1"}], isTruncated=True, nextToken="n")))
    got = connection.tasks_page(maximum=1, tags=["a"])
    assert (got.next_token, got.is_truncated, len(got.page_data)) == ("n", True, 1)
    assert platform.bodies("POST /tasks/paginate") == [{"filter": EQUAL[0], "token": None, "maximumResults": 1}]


def test_pools_and_jobs_are_listed_the_same_way(connection, platform, answer):
    platform.prepare("POST /pools/summaries/paginate", answer(body=page([{"uuid": "p", "name": "n"}])))
    platform.prepare("POST /jobs/paginate", answer(body=page([{"uuid": "j", "name": "n"}])))
    assert [pool.uuid for pool in connection.pools()] == ["p"]
    assert [job.uuid for job in connection.jobs()] == ["j"]


def test_hardware_constraints_are_read_page_by_page(connection, platform, answer):
    items = [
        {"discriminator": "MinimumCoreHardwareConstraint", "coreCount": 8},
        {"discriminator": "FutureHardwareConstraint"},
        {"discriminator": "SSDHardwareConstraint"},
    ]
    platform.prepare(
        "GET /hardware-constraints?limit=50&offset=0",
        answer(body={"data": items[:2], "offset": 0, "limit": 50, "total": 3}),
    )
    platform.prepare(
        "GET /hardware-constraints?limit=50&offset=2",
        answer(body={"data": items[2:], "offset": 2, "limit": 50, "total": 3}),
    )
    assert [item.to_json() for item in connection.all_hardware_constraints()] == [items[0], items[2]]


@pytest.mark.parametrize(
    ("retrieve", "missing"),
    [
        ("retrieve_task", MissingTaskException),
        ("retrieve_pool", MissingPoolException),
        ("retrieve_job", MissingJobException),
    ],
)
def test_what_does_not_exist_has_an_exception_of_its_own(connection, retrieve, missing):
    with pytest.raises(missing, match=r"No such (task|pool|job): none"):
        getattr(connection, retrieve)("none")


def test_a_refusal_without_a_class_carries_the_server_s_message(connection, platform, refuse):
    platform.prepare("GET /tasks/u", refuse(400, "that is not a uuid"))
    with pytest.raises(QarnotGenericException, match=r"^Error: that is not a uuid$"):
        connection.retrieve_task("u")


def test_a_busy_platform_is_asked_again(platform, refuse, answer):
    busy = refuse(503, "Service Unavailable")
    platform.prepare("GET /settings", busy, busy, answer(body={"storage": None}))
    Connection(client_token=TOKEN, cluster_url=platform.url, retry_count=2, retry_wait=0)
    assert platform.lines() == ["GET /settings"] * 3
