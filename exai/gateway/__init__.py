"""How calls enter: connections, authentication, and the execution of a call."""
