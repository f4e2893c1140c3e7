"""A process of the race in test_races.py: uploads, links and unlinks, or cleans up, as fast as it can.

`python -m tests.files.racer race` reads a JSON object from standard input: hubs, token, database, workspace, seed,
rounds; and writes what it has left linked. `… clean` removes orphans with no grace until its standard input ends.
"""

import hashlib
import json
import random
import select
import sys
import uuid
from typing import Any

import psycopg

from tests.api.caller import ApiCaller

_SHARED_CONTENTS = 5
# As conversations.statements links the files of a turn.
_LINK = """
WITH conversation AS (
    INSERT INTO conversations (continuation_id, client_id, workspace, title, model, metadata, created_at, updated_at)
    SELECT %s, id, workspace, '', '', '{}', now(), now() FROM clients WHERE workspace = %s LIMIT 1
    RETURNING id
), used AS (
    SELECT id FROM files WHERE id = %s AND workspace = %s FOR KEY SHARE
), linked AS (
    INSERT INTO conversation_files (conversation_id, file_id) SELECT conversation.id, used.id FROM conversation, used
    ON CONFLICT DO NOTHING
    RETURNING file_id
)
SELECT conversation.id, linked.file_id FROM conversation LEFT JOIN linked ON true
"""


def race(given: dict[str, Any]) -> dict[str, Any]:
    chance = random.Random(given["seed"])
    callers = [ApiCaller(hub, given["token"]) for hub in given["hubs"]]
    workspace = given["workspace"]
    linked: list[tuple[int, str, str]] = []
    counts = {"duplicates": 0, "too_late": 0}
    with psycopg.connect(given["database"], autocommit=True) as database:
        for number in range(given["rounds"]):
            own = chance.random() < 0.4
            text = f"own {given['seed']} {number}" if own else f"shared {chance.randrange(_SHARED_CONTENTS)}"
            content = text.encode() * chance.randrange(1, 400) if own else text.encode() * 300
            answer = chance.choice(callers).upload(content, f"{text}.txt")
            assert answer.status in (200, 201), answer
            assert answer.json["sha256"] == hashlib.sha256(content).hexdigest()
            counts["duplicates"] += answer.json["duplicate"]
            if chance.random() < 0.2:
                continue  # never linked: an orphan
            file_id = answer.json["id"]
            [(conversation, used)] = database.execute(_LINK, (uuid.uuid4(), workspace, file_id, workspace)).fetchall()
            if used is None:
                counts["too_late"] += 1  # the cleaner was quicker
                continue
            downloaded = chance.choice(callers).get(f"/api/files/{file_id}/content")
            assert (downloaded.status, downloaded.body) == (200, content), downloaded
            if chance.random() < 0.5:
                database.execute("DELETE FROM conversations WHERE id = %s", (conversation,))
            else:
                linked.append((conversation, file_id, hashlib.sha256(content).hexdigest()))
    return {"linked": linked, **counts}


def clean() -> dict[str, Any]:
    from datetime import timedelta

    import django

    django.setup()
    from conversations.files.blobs import hub_blobs
    from conversations.files.cleanup import noted_bytes_remove, orphaned_files_remove
    from conversations.files.vendor_removal import ConfiguredVendors
    from exai.settings.hub import hub_settings

    removed = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        removed += len(orphaned_files_remove(grace=timedelta(0)))
        assert noted_bytes_remove(blobs=hub_blobs(), vendors=ConfiguredVendors(hub_settings())).failed == 0
        hub_blobs().staging.remove_leftovers()
    return {"removed": removed}


if __name__ == "__main__":
    print(json.dumps(clean() if sys.argv[1] == "clean" else race(json.load(sys.stdin))))
