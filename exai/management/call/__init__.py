"""The parts of `manage.py call`."""
