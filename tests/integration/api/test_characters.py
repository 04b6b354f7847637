"""Characters that a database cannot look for find nothing, and break nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.api.sites import a_task, open_site


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_names_with_nul_in_them_find_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    site = open_site(tmp_path, "" if database == "sqlite" else request.getfixturevalue("postgres_url"))
    try:
        _, token = await site.account()
        async with site.client(token) as api:
            uuid = (await api.post("/tasks", json=a_task(tags=["a"]))).json()["uuid"]
            for method, path in (
                ("GET", "/tasks/%00"),
                ("DELETE", "/tasks/%00"),
                ("GET", "/tasks/a%00/stdout"),
                ("GET", f"/tasks/{uuid}/snapshot/%00"),
            ):
                assert (await api.request(method, path)).status_code == 404, path
            for path in ("/tasks?tag=%00", "/tasks/summaries?tag=a%00"):
                assert (await api.get(path)).json() == [], path
            assert [task["uuid"] for task in (await api.get("/tasks?tag=%00&tag=a")).json()] == [uuid]
    finally:
        site.site.store.close()
