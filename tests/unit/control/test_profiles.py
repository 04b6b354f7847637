"""Profiles as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.control.profiles import Profiles
from hearth.domain.errors import Invalid

SECOND = 1_000_000


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def profiles(tmp_path: Path, clock: Clock) -> Profiles:
    return Profiles(tmp_path, default_image="example/base:7", now=clock)


def test_the_shipped_profiles_have_the_constants_of_the_contract(profiles: Profiles) -> None:
    assert profiles.names() == ["docker-batch", "docker-network", "ubuntu"]
    batch, network = profiles.require("docker-batch"), profiles.require("docker-network")
    assert (batch.network, network.network) == (False, True)
    assert batch.defaults() == {
        "DOCKER_CMD": "",
        "DOCKER_REPO": "",
        "DOCKER_TAG": "latest",
        "DOCKER_SRV": "https://registry-1.docker.io",
        "DOCKER_REGISTRY_LOGIN": "",
        "DOCKER_REGISTRY_PASSWORD": "",
        "DOCKER_USER": "",
        "DOCKER_HOST": "",
        "DOCKER_WORKDIR": "${DOCKER_WORKDIR}",
        "DOCKER_PROGRESS1": "",
        "DOCKER_PROGRESS2": "",
        "DOCKER_PROGRESS3": "",
        "QARNOT_DISABLE_CPU_BOOST": "false",
    }
    assert batch.defaults() == network.defaults() == profiles.require("ubuntu").defaults()
    [repo] = [constant for constant in batch.constants if constant.name == "DOCKER_REPO"]
    assert "example/base:7" in repo.description


def test_a_sites_own_profile_is_seen_without_a_restart_and_wins(
    profiles: Profiles, tmp_path: Path, clock: Clock
) -> None:
    assert profiles.get("mine") is None
    (tmp_path / "mine.toml").write_text('network = true\n[[constants]]\nname = "A"\nvalue = "1"\n')
    (tmp_path / "ubuntu.toml").write_text("cores = 4\n")
    assert profiles.get("mine") is None  # looked at a moment ago
    clock.now += SECOND
    assert profiles.require("mine").defaults() == {"A": "1"}
    assert profiles.require("ubuntu").cores == 4
    (tmp_path / "mine.toml").write_text('network = true\n[[constants]]\nname = "A"\nvalue = "22"\n')
    (tmp_path / "ubuntu.toml").unlink()
    clock.now += SECOND
    assert profiles.require("mine").defaults() == {"A": "22"}
    assert profiles.require("ubuntu").cores == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("network = 3", "mine.toml: network: Expected `bool`, got `int`"),
        ("newtork = true", "mine.toml: Object contains unknown field `newtork`"),
        ('[[constants]]\nname = "A"\nvalue = 1', "mine.toml: constants[0].value: Expected `str`, got `int`"),
        ('[[constants]]\nvalue = "1"', "mine.toml: constants[0]: Object missing required field `name`"),
        ('[[constants]]\nname = "A"\n[[constants]]\nname = "A"', "mine.toml: constants: 'A' is there twice"),
        ("cores = 0", "mine.toml: cores: 0.0 is too little"),
        ("cores =", "mine.toml: is not valid TOML: "),
    ],
)
def test_a_broken_file_is_named_with_its_field_and_takes_no_other_with_it(
    profiles: Profiles, tmp_path: Path, content: str, problem: str
) -> None:
    (tmp_path / "mine.toml").write_text(content)
    (tmp_path / "good.toml").write_text("network = true\n")
    assert profiles.names() == ["docker-batch", "docker-network", "good", "ubuntu"]
    [told] = profiles.problems()
    assert told.startswith(problem)
    with pytest.raises(Invalid) as refused:
        profiles.require("mine")
    assert problem in refused.value.message
    assert profiles.get("mine") is None
