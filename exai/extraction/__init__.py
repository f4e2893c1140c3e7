"""What a model is told of a file: its type by its content, and its text or picture, read within limits.

`sniffing` tells types, `runner` reads. Whatever needs a library (PDF, Office, notebooks, pictures) is read in a process
of its own (`python -m exai.extraction`), for which every file is hostile; nothing here raises for a bad file.
"""
