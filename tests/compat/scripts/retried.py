"""Retries, and what an instance did in the end (for clients that know retry settings)."""

from told import connect, named, tell, until_over

import qarnot.retry_settings


def run(name, count, command, **settings):
    task = connection.create_task(named(name), "docker-batch", count)
    task.constants["DOCKER_CMD"] = command
    task.retry_settings = qarnot.retry_settings.RetrySettings(**settings)
    task.results = connection.create_bucket(named("marks-" + name))
    task.submit()
    return until_over(task), task


connection = connect()
state, each = run("each", 2, "sh -c 'echo try; exit 3'", maxPerInstanceRetries=2)
total_state, total = run("total", 3, "sh -c 'echo try; exit 3'", maxTotalRetries=2)
good_state, good = run("good", 1, "sh -c 'echo x > file; sleep 0.2'", maxTotalRetries=2)
[done] = good.completed_instances
tell(
    states=[state, total_state, good_state],
    tries=each.stdout().count("try"),
    attempts=sorted(done.execution_attempt_count for done in each.completed_instances),
    tries_of_all=total.stdout().count("try"),
    good=[
        done.state,
        done.execution_attempt_count,
        0.15 < done.exec_time_sec < done.wall_time_sec < 60,
        done.exec_time_sec_ghz >= 0,
        done.peak_memory_mb >= 0,
        [uri.rpartition("/")[2] for uri in done.results],
    ],
    settings=[
        each.retry_settings.to_json()["maxPerInstanceRetries"],
        total.retry_settings.to_json()["maxTotalRetries"],
    ],
)
