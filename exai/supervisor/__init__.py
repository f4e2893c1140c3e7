"""What `manage.py up` runs: one process that starts the engines and the hub's own processes and keeps them going.

It never imports Django: it would cost the memory of a second web process for nothing.
"""
