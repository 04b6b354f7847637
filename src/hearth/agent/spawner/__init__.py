"""The spawner: a small process of its own that starts runs, owns them, and outlives the agent."""
