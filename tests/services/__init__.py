"""Real services for tests, started on demand on loopback and stopped whatever happens."""
