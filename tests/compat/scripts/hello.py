"""The first script of the documentation, word for word but for the configuration's path."""

from told import CONFIGURATION, tell

import qarnot

conn = qarnot.connection.Connection(CONFIGURATION)
task = conn.create_task("hello world", "ubuntu")
task.constants["DOCKER_CMD"] = "echo hello world from ${FRAME_ID}!"
task.run()

tell(stdout=task.stdout(), stderr=task.stderr(), state=task.state, profile=task.profile, count=task.instancecount)
