"""The files that a call names are found without a look at all the others."""

from typing import Any

import psycopg

from conversations.files.vendor_listing import NAMED_FILES, naming
from tests.files.contents import new_workspace

_MANY = 2_000
_INSERT = """
INSERT INTO files (id, workspace, storage_path, original_name, mime_type, size_bytes, file_type, sha256,
                   provider_file_ids, local_cache_path, access_count, metadata, created_at)
SELECT gen_random_uuid(), %(workspace)s::text, %(workspace)s::text || n, 'a', 'text/plain', 1, 'user_upload',
       lpad(n::text, 64, '0'), jsonb_build_object('kimi', 'f' || n), '', 0, '{}', now()
FROM generate_series(1, %(many)s) n RETURNING id
"""


def _files_read(node: dict[str, Any]) -> float:
    read: float = sum(_files_read(inner) for inner in node.get("Plans", []))
    if node.get("Relation Name") == "files":
        read += node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    return read


def test_a_file_that_is_named_by_its_id_is_the_only_one_read(database: psycopg.Connection) -> None:
    workspace = new_workspace()
    with database.transaction(force_rollback=True):
        (file_id,) = database.execute(_INSERT, {"workspace": workspace, "many": _MANY}).fetchall()[0]
        database.execute("ANALYZE files")
        for within in (workspace, None):
            named = naming(vendor="kimi", ids=[file_id], copy_ids=[], workspace=within)
            row = database.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + NAMED_FILES.encode(), named).fetchone()
            assert row is not None
            [plan] = row[0]
            assert 1 <= _files_read(plan["Plan"]) <= 2
