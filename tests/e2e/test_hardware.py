"""Hardware of a real node: found by its agent, asked for by tasks, and told when it is not there."""

from tests.services.platform import Platform


def test_a_task_that_no_node_can_run_is_explained_and_told_to_the_operator(own_platform: Platform) -> None:
    own_platform.start("--node-specification-key", "my-laptop", "--specification-aliases", "8c-32g-amd-rz3700x=my-lap")
    user = own_platform.account()
    ours = {"discriminator": "SpecificHardwareConstraint", "specificationKey": "my-laptop"}
    own_platform.wait(lambda: ours in user.api.get("/hardware-constraints").json()["data"], "the node was heard")

    copied = [{"discriminator": "SpecificHardwareConstraint", "specificationKey": "8c-32g-amd-rz3700x"}]
    assert user.run("echo here", hardwareConstraints=copied)["state"] == "Success"

    large = [{"discriminator": "MinimumCoreHardwareConstraint", "coreCount": 4096}]
    uuid = user.submit("echo never", hardwareConstraints=large)
    own_platform.wait(lambda: "needs 4096 cores" in own_platform.said(), "the operator hears of it")
    assert "hearth: tasks wait that need help: needs 4096 cores, the largest node has " in own_platform.said()
    why = user.api.get(f"/tasks/{uuid}/why").json()
    assert [(one["code"], one["numbers"]["needed"]) for one in why["reasons"]] == [("NO_NODE_FITS", 4096)]
    assert [one["code"] for one in why["past"]] == ["NO_NODE_FITS"]
    assert why["past"][0]["seconds"] >= 3

    assert user.run("echo others go on")["state"] == "Success"
    user.post(f"/tasks/{uuid}/abort")
    assert user.api.get(f"/tasks/{uuid}/why").json()["message"] == "it has ended: Cancelled"
