"""What is configured of providers: the environment's settings and the rows of the provider tables, put together."""
