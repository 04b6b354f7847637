"""What an instance finds in its folder, and exactly what of it arrives in the result bucket."""

import itertools

import pytest

from tests.services.account import Account

_numbers = itertools.count(1)


def named(what: str) -> str:
    """Return a name that no other test has."""
    return f"{what}-{next(_numbers)}"


def test_new_and_edited_files_arrive_and_unchanged_resources_do_not(anyone: Account) -> None:
    bucket = anyone.make_bucket(
        named("in"),
        **{
            "same.txt": "same",
            "edited.txt": "before",
            "deep/er/same.txt": "same",
            "deep/touched.txt": "one",
            "gone": "x",
        },
    )
    results = named("out")
    task = anyone.run(
        "echo after > edited.txt; rm gone; echo new > new.txt; mkdir -p sub/folder empty; echo 1 > sub/folder/one; "
        "printf two > deep/touched.txt; : > nothing",
        shell=True,
        resourceBuckets=[bucket],
        resultBucket=results,
    )
    assert task["state"] == "Success", task["errors"]
    assert anyone.files(results) == {
        "edited.txt": "after\n",
        "new.txt": "new\n",
        "sub/folder/one": "1\n",
        "deep/touched.txt": "two",
        "nothing": "",
    }
    assert sorted(anyone.keys(bucket)) == ["deep/er/same.txt", "deep/touched.txt", "edited.txt", "gone", "same.txt"]
    assert task["resultsCount"] == 1


def test_an_edit_of_the_same_size_that_hides_its_time_arrives_too(anyone: Account) -> None:
    bucket = anyone.make_bucket(named("in"), file="AAAA", same="AAAA")
    results = named("out")
    anyone.run(
        "touch -r file stamp; printf BBBB > file; touch -r stamp file; rm stamp",
        shell=True,
        resourceBuckets=[bucket],
        resultBucket=results,
    )
    assert anyone.files(results) == {"file": "BBBB"}


@pytest.mark.parametrize(
    ("whitelist", "blacklist", "arrives"),
    [
        ("", "", {"u0_c.h5", "train/u0_c.h5", "log.run", "processor12/x", "keep.txt"}),
        ("_c.h5", "", {"u0_c.h5", "train/u0_c.h5"}),
        ("", r"processor\d+", {"u0_c.h5", "train/u0_c.h5", "log.run", "keep.txt"}),
        (r"^(log\..*|.*\.txt)$", r"keep", {"log.run"}),
        ("u${INSTANCE_ID}_c", "^train", {"u0_c.h5"}),
        ("(?i)KEEP", None, {"keep.txt"}),
    ],
)
def test_filters_are_searched_in_relative_paths(
    user: Account, whitelist: str, blacklist: str | None, arrives: set[str]
) -> None:
    results = named("out")
    task = user.run(
        "mkdir train processor12; for f in u0_c.h5 train/u0_c.h5 log.run processor12/x keep.txt; do echo $f > $f; done",
        shell=True,
        resultBucket=results,
        resultsWhitelist=whitelist,
        resultsBlacklist=blacklist,
    )
    assert task["state"] == "Success", task["errors"]
    assert set(user.keys(results)) == arrives
    assert len(task["completedInstances"][0]["results"]) == len(arrives)


def test_a_prefix_is_put_in_front_of_results(user: Account) -> None:
    results = named("out")
    user.run("echo x > a; mkdir b; echo y > b/c", shell=True, resultBucket=results, resultsBucketPrefix="runs/7/")
    assert user.files(results) == {"runs/7/a": "x\n", "runs/7/b/c": "y\n"}


def test_a_bucket_may_be_resource_and_result_at_once(anyone: Account) -> None:
    both = anyone.make_bucket(named("both"), source="1", other="2")
    anyone.run("cat source source > doubled; printf 3 > other", shell=True, resourceBuckets=[both], resultBucket=both)
    assert anyone.files(both) == {"source": "1", "other": "3", "doubled": "11"}


def test_several_buckets_form_a_union_and_the_last_one_wins(user: Account) -> None:
    first = user.make_bucket(named("first"), a="first a", b="first b")
    second = user.make_bucket(named("second"), b="second b", c="second c")
    task = user.run("cat a b c", resourceBuckets=[first, second])
    assert user.stdout(task["uuid"]) == "0> first asecond bsecond c"


def test_an_advanced_bucket_gives_what_has_its_prefix_and_strips_it(user: Account) -> None:
    bucket = user.make_bucket(named("in"), **{"keep/me/a.txt": "a", "keep/b.txt": "b", "other.txt": "c"})
    task = user.run(
        "find . -type f",
        advancedResourceBuckets=[
            {
                "bucketName": bucket,
                "filtering": {"prefixFiltering": {"prefix": "keep/"}},
                "resourcesTransformation": {"stripPrefix": {"prefix": "keep/"}},
            }
        ],
    )
    assert sorted(user.stdout(task["uuid"]).splitlines()) == ["0> ./b.txt", "0> ./me/a.txt"]


def test_a_script_of_a_bucket_is_executable(anyone: Account) -> None:
    bucket = anyone.make_bucket(named("in"), **{"run.sh": '#!/bin/sh\necho "ran in $(pwd) with $*"\n'})
    task = anyone.run("./run.sh ${INSTANCE_ID} two", resourceBuckets=[bucket])
    assert task["state"] == "Success", task["errors"]
    assert anyone.stdout(task["uuid"]).startswith("0> ran in /")
    assert anyone.stdout(task["uuid"]).endswith(" with 0 two\n")


def test_instances_that_ended_publish_although_another_fails(user: Account) -> None:
    results = named("out")
    task = user.run(
        "echo $INSTANCE_ID > file-$INSTANCE_ID; test $INSTANCE_ID != 2",
        shell=True,
        instanceCount=4,
        resultBucket=results,
    )
    assert task["state"] == "Failure"
    assert {f"file-{n}": f"{n}\n" for n in (0, 1, 3)}.items() <= user.files(results).items()
    assert task["status"]["succeededRange"] == "0-1,3"
    assert task["status"]["failedRange"] == "2"


@pytest.mark.parametrize(("wanted", "arrives"), [(None, []), (False, []), (True, ["half"])])
def test_a_cancelled_task_publishes_only_when_asked_to(user: Account, wanted: bool | None, arrives: list[str]) -> None:
    results = named("out")
    uuid = user.submit(
        "echo half > half; echo written; sleep 600",
        shell=True,
        resultBucket=results,
        uploadResultsOnCancellation=wanted,
    )
    user.await_stdout(uuid, "written")
    user.post(f"/tasks/{uuid}/abort")
    assert user.await_end(uuid)["state"] == "Cancelled"
    assert user.keys(results) == arrives


def test_links_out_of_the_folder_carry_nothing_out(anyone: Account) -> None:
    results = named("out")
    task = anyone.run(
        "ln -s /etc/passwd stolen; ln -s / root; echo mine > mine; ln -s mine linked", shell=True, resultBucket=results
    )
    assert task["state"] == "Success", task["errors"]
    assert anyone.files(results) == {"mine": "mine\n", "linked": "mine\n"}


def test_a_pattern_that_takes_for_ever_fails_its_instance_and_holds_up_nobody(user: Account) -> None:
    results = named("out")
    slow = user.submit(
        "touch aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        resultBucket=results,
        resultsWhitelist="^(a|a|aa)+$",
    )
    assert user.run("echo meanwhile")["state"] == "Success"
    task = user.await_end(slow)
    assert task["state"] == "Failure"
    [error] = task["errors"]
    assert error["code"] == "BAD_RESULTS_FILTER"
    assert "takes too long (at the path 'aaaa" in error["message"]
    assert user.keys(results) == []


def test_results_of_an_instance_that_failed_arrive_too(anyone: Account) -> None:
    results = named("out")
    task = anyone.run("echo good > good; exit 3", shell=True, resultBucket=results)
    assert task["state"] == "Failure"
    assert anyone.files(results) == {"good": "good\n"}


def test_two_hundred_files_of_several_instances_arrive_whole(user: Account) -> None:
    results = named("out")
    task = user.run(
        "i=0; while [ $i -lt 50 ]; do echo $INSTANCE_ID-$i > f-$INSTANCE_ID-$i; i=$((i+1)); done",
        shell=True,
        instanceCount=4,
        resultBucket=results,
    )
    assert task["state"] == "Success", task["errors"]
    assert user.files(results) == {f"f-{n}-{i}": f"{n}-{i}\n" for n in range(4) for i in range(50)}


def test_a_large_result_keeps_the_etag_that_clients_compute(user: Account) -> None:
    results = named("out")
    user.run("head -c 20000000 /dev/zero > zeros", resultBucket=results, shell=True)
    head = user.s3.head_object(Bucket=results, Key="zeros")
    assert head["ContentLength"] == 20_000_000
    assert head["ETag"].strip('"').endswith("-3")
