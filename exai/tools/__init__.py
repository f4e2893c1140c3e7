"""What can be asked. A tool is a name, a description, an input model and one `run`; it knows neither Django nor the wire."""
