"""The HTTP API for agents and scripts, below `/api/`: a bearer token, JSON."""
