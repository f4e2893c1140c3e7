"""The registry of a web process, kept up to date while calls run."""
