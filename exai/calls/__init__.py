"""The state of calls in Redis, shared by all web processes."""
