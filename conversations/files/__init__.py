"""The file store: one content is one row and one blob a workspace."""
