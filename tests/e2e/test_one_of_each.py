"""One server and one agent per data directory, and nobody else's eyes on it."""

from __future__ import annotations

import stat

from tests.services.platform import Platform


def test_a_second_server_of_a_directory_is_refused_and_harms_nothing(shared_platform: Platform):
    configuration = (shared_platform.data / "qarnot.conf").read_text()
    second = shared_platform.run("server", "--api-port", "0", "--storage-port", "0")
    assert second.returncode == 2
    assert "has a running server already" in second.stderr
    assert (shared_platform.data / "qarnot.conf").read_text() == configuration
    assert (shared_platform.data / "run" / "server.json").exists()


def test_the_database_is_for_its_owner_alone(shared_platform: Platform):
    for path in shared_platform.data.glob("hearth.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
