"""Databases of the soak's own, migrated, with all that a hub needs to find them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exai.embedded.engines import start_engines
from exai.settings.hub import parse
from tests.hub import manage
from tests.soak.cluster import endpoint
from tests.upstream import Upstream


@contextmanager
def own_databases(upstream: Upstream) -> Iterator[dict[str, str]]:
    """The environment of hubs whose only real provider is the upstream."""
    with tempfile.TemporaryDirectory(prefix="exai-soak-") as data_dir:
        # The engines' own user must get to its folder in there when this runs as root.
        Path(data_dir).chmod(0o711)
        engines = start_engines(parse({"EXAI_DATA_DIR": data_dir}))
        try:
            environment = {
                **engines.environment(),
                "EXAI_DATA_DIR": data_dir,
                "EXAI_ENDPOINTS": endpoint(upstream),
                "EXAI_SECRET_KEY": "a key for the soak, of 32 characters and more",
            }
            manage(environment, "migrate", "--no-input", "--verbosity", "0")
            yield environment
        finally:
            engines.close()
