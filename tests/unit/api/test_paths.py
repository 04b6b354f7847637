"""Paths as clients write them."""

import pytest

from hearth.api.paths import fold_path


@pytest.mark.parametrize(
    ("written", "routed"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/v1", "/"),
        ("/v1/", "/"),
        ("/V1.0", "/"),
        ("//settings", "/settings"),
        ("/v1/settings/", "/settings"),
        ("/Settings", "/settings"),
        ("/v1/Tasks/Summaries/Paginate", "/tasks/summaries/paginate"),
        ("/tasks/", "/tasks"),
        ("/Jobs/", "/jobs"),
        ("/tasks/My-Task", "/tasks/My-Task"),
        ("/v1.0/tasks/My-Task/STDOUT/3", "/tasks/My-Task/stdout/3"),
        ("/tasks/X/snapshot/Periodic", "/tasks/X/snapshot/periodic"),
        ("/tasks/X/snapshot/snap_1_Ab", "/tasks/X/snapshot/snap_1_Ab"),
        ("/PROFILES/My-Profile", "/profiles/My-Profile"),
        ("/openapi.json", "/openapi.json"),
        ("/carbon/v1/Tasks/My-task/Carbon-Facts", "/carbon/v1/tasks/My-task/carbon-facts"),
        ("/v1/Carbon/V1/tasks/a/carbon-facts", "/carbon/v1/tasks/a/carbon-facts"),
        ("/v1/openapi.json", "/openapi.json"),
        ("/secrets-manager/data/A/b", "/secrets-manager/data/A/b"),
        ("/tasks/v1", "/tasks/v1"),
    ],
)
def test_a_path_is_folded_to_its_route(written: str, routed: str) -> None:
    assert fold_path(written) == routed


def test_folding_twice_is_folding_once() -> None:
    for path in ("/v1/Tasks//a/STDOUT/", "//v1//info", "/tasks/Search"):
        assert fold_path(fold_path(path)) == fold_path(path)
