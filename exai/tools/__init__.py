"""What can be asked. A tool is a name, a description, an input model and one `run`; it knows no Django, no wire."""
