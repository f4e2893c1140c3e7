"""What the hub costs: its figures beside those of a baseline measured in the same run. `make bench` runs it.

Two commits differ only where their ratio leaves what a commit shows against itself on the same machine: a busy one
moves CPU a call by a tenth and p99 by more, and few rounds may all fall on one side by chance.
"""
