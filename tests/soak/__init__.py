"""Random schedules of callers that lose connections, ask again and cancel while web processes are killed, judged by an
oracle; and a long run under load that watches memory and keys. `make soak`."""
