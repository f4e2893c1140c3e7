"""What a process has used: CPU time and memory."""

import psutil


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def memory_bytes(pid: int) -> int:
    """Proportional set size where the system tells it (Linux), else resident set size."""
    full = psutil.Process(pid).memory_full_info()
    return int(getattr(full, "pss", full.rss))
