"""The accounts that a new hub needs: an administrator and a client.

They are made in one transaction, and the client's token lies in its file before that is committed. A note beside it
says which accounts nobody was told of yet, so that a hub that dies before it could tell makes up for it next time:
it tells the token that the file holds, and gives the administrator, whose password nobody knows, a new one.
"""

import hashlib
import json
import secrets
from pathlib import Path

from django.contrib.auth.models import User
from django.db import connection, transaction

from exai.access import ENVIRONMENT_CLIENT, client_create, client_rotate_token, token_hash
from exai.embedded.private_file import write_privately
from exai.models import ApiClient
from exai.supervisor.credentials import Credential, Prepared, untold_file

ADMIN_NAME = "admin"
CLIENT_NAME = "local"
_LOCK = 0x45584149_0001  # an advisory lock: two hubs may begin with one empty database


@transaction.atomic
def first_accounts_create(*, data_dir: Path, token_file: Path) -> Prepared:
    """Makes the accounts that are missing; returns what somebody still has to be told.

    An administrator is made where there are no users, a client where there is none but the environment's.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    untold = _read_untold(data_dir)
    prepared = Prepared(admin=_admin(untold.get("admin", "")), client=_client(untold.get("client", ""), token_file))
    if prepared:
        write_privately(untold_file(data_dir), json.dumps(_note(prepared)))
    return prepared


def _admin(untold: str) -> Credential | None:
    password = secrets.token_urlsafe(15)
    if not User.objects.exists():
        User.objects.create_superuser(ADMIN_NAME, password=password)
        return Credential(ADMIN_NAME, password)
    admin = User.objects.filter(username=ADMIN_NAME).first()
    # A password that was changed since is somebody's: it stays.
    if admin is None or _digest(admin.password) != untold:
        return None
    admin.set_password(password)
    admin.save(update_fields=["password"])
    return Credential(ADMIN_NAME, password)


def _client(untold: str, token_file: Path) -> Credential | None:
    if not ApiClient.objects.exclude(name=ENVIRONMENT_CLIENT).exists():
        _, token = client_create(name=CLIENT_NAME)
    else:
        client = ApiClient.objects.filter(name=CLIENT_NAME, token_hash=untold).first()
        if client is None:
            return None
        token = _read(token_file)
        if token_hash(token) == client.token_hash:
            return Credential(CLIENT_NAME, token)
        token = client_rotate_token(client=client)
    write_privately(token_file, token)
    return Credential(CLIENT_NAME, token)


def _note(prepared: Prepared) -> dict[str, str]:
    """Which accounts, by digests of what is stored of them: another database's accounts are not taken for these."""
    note = {}
    if prepared.admin:
        note["admin"] = _digest(User.objects.get(username=prepared.admin.name).password)
    if prepared.client:
        note["client"] = token_hash(prepared.client.secret)
    return note


def _digest(encoded_password: str) -> str:
    return hashlib.sha256(encoded_password.encode()).hexdigest()


def _read_untold(data_dir: Path) -> dict[str, str]:
    note = _read(untold_file(data_dir))
    return json.loads(note) if note else {}


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
