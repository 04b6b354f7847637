"""Forced constants are over the task's own, and may stay out of the environment."""

from tests.services.account import Account


def test_forced_values_count_and_what_is_not_exported_is_known_to_references_only(user: Account) -> None:
    task = user.run(
        "sh -c 'echo ${HIDDEN} $SHOWN ${FORCED}; env'",
        constants={"HIDDEN": "hidden", "SHOWN": "shown", "FORCED": "own", "QARNOT_SECRET__KEY": "secret"},
        forcedConstants=[
            {"constantName": "HIDDEN", "forceExportInEnvironment": False},
            {"constantName": "QARNOT_SECRET__KEY", "forceExportInEnvironment": False},
            {"constantName": "FORCED", "forcedValue": "forced", "forceExportInEnvironment": True},
        ],
    )
    first, *variables = user.stdout(task["uuid"], 0).splitlines()
    names = {line.partition("=")[0] for line in variables}
    assert first == "hidden shown forced"
    assert "FORCED=forced" in variables
    assert names >= {"SHOWN", "FORCED"}
    assert not names & {"HIDDEN", "KEY", "QARNOT_SECRET__KEY"}
