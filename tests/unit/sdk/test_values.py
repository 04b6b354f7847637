"""Small values between Python and the wire, and secrets."""

from datetime import UTC, datetime

import pytest

from qarnot import Secrets
from qarnot._times import read_date
from qarnot.budget import BlockNewPolicy
from qarnot.carbon_facts import CarbonFacts
from qarnot.computing_quotas import ComputingQuotas, OrganizationComputingQuotasDetails
from qarnot.credits_client import CreditsClient
from qarnot.dependency import AdvancedDependency, TaskFinalState
from qarnot.exceptions import MissingProjectException, SecretConflictException, SecretNotFoundException
from qarnot.forced_network_rule import ForcedNetworkRule
from qarnot.hardware_constraint import CpuModelHardware, HardwareConstraint, NoGpuHardware
from qarnot.multi_slots_settings import MultiSlotsSettings
from qarnot.privileges import Privileges
from qarnot.project import Project
from qarnot.retry_settings import RetrySettings
from qarnot.scaling import Scaling
from qarnot.scheduling_type import SchedulingType
from qarnot.secrets import SecretsAccessRights
from qarnot.snapshot import SnapshotConfiguration
from qarnot.task import BulkTaskResponse

QUOTA = {"maxCores": 8, "runningCoresCount": 2, "maxInstances": 4, "runningInstancesCount": 1}


@pytest.mark.parametrize(
    ("kind", "json"),
    [
        (Privileges, {"exportApiAndStorageCredentialsInEnvironment": True}),
        (RetrySettings, {"maxTotalRetries": 3, "maxPerInstanceRetries": None}),
        (MultiSlotsSettings, {"slotsPerNode": 2}),
        (SecretsAccessRights, {"bySecret": [{"key": "a"}], "byPrefix": [{"prefix": "b"}]}),
        (SnapshotConfiguration, {"whitelist": "a", "blacklist": None, "bucket": "c", "bucketPrefix": "d"}),
        (AdvancedDependency, {"taskUuid": "u", "taskFinalStateCondition": ["cancelled", "failure"]}),
        (AdvancedDependency, {"taskUuid": "u", "taskFinalStateCondition": None}),
        (ForcedNetworkRule, {"inbound": False, "proto": "udp", "publicPort": "80", "toQBox": True, "name": "n"}),
        (HardwareConstraint, {"discriminator": "MaximumRamHardwareConstraint", "maximumMemoryMB": 64.5}),
        (HardwareConstraint, {"discriminator": "SSDHardwareConstraint"}),
        (Scaling, {"policies": [{"type": "Fixed", "slotsCount": 3}]}),
    ],
)
def test_what_is_read_is_written_the_same_way(kind, json):
    value = kind.from_json(json)
    assert value.to_json() == json
    assert value == kind.from_json(json)
    assert hash(value) == hash(kind.from_json(json))


def test_values_of_other_kinds_differ():
    assert CpuModelHardware("a") != CpuModelHardware("b")
    assert NoGpuHardware() != "NoGpuHardware"
    assert HardwareConstraint.from_json({"discriminator": "New"}) is None


@pytest.mark.parametrize("text", ["flex", "Flex", "FLEX"])
def test_words_are_read_in_any_case(text):
    assert SchedulingType.from_string(text).schedulingType == "Flex"
    assert SchedulingType.from_string("other") is None
    assert TaskFinalState.from_string("SUCCESS").value == "success"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.5Z", datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T12:00:00.1234567Z", datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_dates_have_any_number_of_digits_after_the_second(text, moment):
    assert read_date(text) == moment.replace(tzinfo=None)


def test_what_is_no_date_is_named():
    with pytest.raises(ValueError, match="'yesterday' is not a date"):
        read_date("yesterday")


def test_quotas_are_read_in_all_their_forms():
    quotas = ComputingQuotas.from_json(
        {
            "user": {"flex": QUOTA, "onDemand": {"runningCoreCount": 3}, "reserved": [{"machineKey": "m", **QUOTA}]},
            "organization": {"name": "o", "flex": QUOTA},
        }
    )
    assert (quotas.user.flex.max_cores, quotas.user.on_demand.running_cores_count) == (8, 3)
    assert (quotas.user.reserved[0].reservation_name, quotas.organization.name) == ("m", "o")
    details = OrganizationComputingQuotasDetails.from_json(
        {"flex": {**QUOTA, "runningCountsPerUser": {"a@b": {"runningInstancesCount": 1, "runningCoresCount": 2}}}}
    )
    assert details.flex.running_counts_per_user["a@b"].running_cores_count == 2


def test_carbon_facts_are_written_with_the_names_of_the_wire():
    facts = CarbonFacts(energy_consumption=1.0, equivalent_dc_name="dc", PUE=1.5)
    assert facts.to_json()["total_consumed_energy_Wh"] == 1.0
    assert CarbonFacts.from_json(facts.to_json()).to_json() == facts.to_json()


def test_budgets_of_a_project(connection, platform, answer):
    budget = {
        "uuid": "b",
        "alias": "year",
        "totalAmountInCents": 1000,
        "remainingAmountInCents": 400,
        "budgetOverrunPolicy": "BlockNew",
        "startDateUtc": "2026-01-01T00:00:00Z",
    }
    platform.prepare("GET /credits/v1/projects/p/budgets?activeOnly=True", answer(body={"budgets": [budget]}))
    (found,) = Project("p").get_active_budgets(connection)
    assert (found.remaining_in_cents, found.budget_overrun_policy) == (400, BlockNewPolicy())
    with pytest.raises(MissingProjectException):
        Project("none").get_all_budgets(connection)
    platform.prepare("GET /credits/v1/accounts/credits", answer(body={"credits": 10.005}))
    assert CreditsClient(connection).get_account_credits().amount_in_euros == 10.005


def test_a_project_that_is_not_the_account_s_is_missing(connection):
    with pytest.raises(MissingProjectException, match="slug 'x'"):
        Project.retrieve_by_slug(connection, "x")


def test_secrets_are_kept_under_paths(connection, platform, answer, refuse):
    secrets = Secrets(connection)
    path = "/secrets-manager/data/a/b%20c"
    platform.prepare(f"PUT {path}", answer(), refuse(409, "exists"))
    platform.prepare(f"PATCH {path}", answer())
    platform.prepare(f"GET {path}", answer(body={"value": "v"}))
    platform.prepare(f"DELETE {path}", refuse(404, "none"))
    assert secrets.create_secret("a/b c", "v") == "a/b c"
    secrets.update_secret("a/b c", "w")
    assert secrets.get_secret("a/b c") == "v"
    assert platform.bodies(f"PUT {path}") + platform.bodies(f"PATCH {path}") == [{"Value": "v"}, {"Value": "w"}]
    with pytest.raises(SecretConflictException):
        secrets.create_secret("a/b c", "v")
    with pytest.raises(SecretNotFoundException):
        secrets.delete_secret("a/b c")


def test_secrets_are_listed_by_folder_or_all(connection, platform, answer):
    platform.prepare("GET /secrets-manager/search/", answer(body={"keys": ["top", "a/"]}))
    platform.prepare("GET /secrets-manager/search/a", answer(body={"keys": ["b", "c/"]}))
    platform.prepare("GET /secrets-manager/search/a/c", answer(body={"keys": ["d"]}))
    secrets = Secrets(connection)
    assert secrets.list_secrets("") == ["top", "a/"]
    assert secrets.list_secrets("/a/", recursive=True) == ["a/b", "a/c/d"]


@pytest.mark.parametrize(("status", "uuid", "accepted"), [(200, "u", True), (400, "u", False), (200, None, False)])
def test_a_task_of_a_bulk_is_accepted_with_a_uuid_and_a_good_status(status, uuid, accepted):
    assert BulkTaskResponse({"statusCode": status, "uuid": uuid, "message": None}).is_success() is accepted
