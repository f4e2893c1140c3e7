"""The accounts of a new hub, and a first run that dies on its way."""

import stat
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from exai.access import client_create, client_rotate_token, environment_client_update, token_hash
from exai.first_run import first_accounts_create
from exai.models import ApiClient
from exai.supervisor.credentials import Credential, Prepared
from exai.supervisor.preparation import told

pytestmark = pytest.mark.django_db


def begin(folder: Path) -> Prepared:
    return first_accounts_create(data_dir=folder, token_file=folder / "client.token")


def known(credential: Credential | None) -> Credential:
    assert credential is not None
    return credential


def lets_in(credential: Credential | None) -> bool:
    """Whether the secret is that of the account in the database."""
    name, secret = known(credential).name, known(credential).secret
    if name == "admin":
        return User.objects.get(username=name).check_password(secret)
    return ApiClient.objects.filter(name=name, token_hash=token_hash(secret), enabled=True).exists()


def test_an_empty_database_gets_an_administrator_and_a_client(tmp_path: Path) -> None:
    made = begin(tmp_path)
    assert lets_in(made.admin)
    assert lets_in(made.client)
    assert User.objects.get().is_superuser
    assert (tmp_path / "client.token").read_text() == known(made.client).secret
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_what_was_told_is_not_told_again(tmp_path: Path) -> None:
    begin(tmp_path)
    told(tmp_path)
    assert not begin(tmp_path)


def test_accounts_that_nobody_was_told_of_are_told_of_by_the_next_run(tmp_path: Path) -> None:
    cut_off = begin(tmp_path)
    made_up = begin(tmp_path)
    assert made_up.client == cut_off.client
    assert lets_in(made_up.client)
    assert lets_in(made_up.admin)
    assert (User.objects.count(), ApiClient.objects.count()) == (1, 1)


def test_a_token_file_lost_before_anybody_was_told_gets_a_new_token(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "client.token").unlink()
    made_up = begin(tmp_path)
    assert lets_in(made_up.client)
    assert (tmp_path / "client.token").read_text() == known(made_up.client).secret


def test_a_run_that_died_before_its_commit_is_begun_anew(tmp_path: Path) -> None:
    with transaction.atomic():
        begin(tmp_path)
        transaction.set_rollback(True)
    made = begin(tmp_path)
    assert lets_in(made.admin)
    assert lets_in(made.client)
    assert (tmp_path / "client.token").read_text() == known(made.client).secret


def test_a_password_or_token_that_somebody_changed_meanwhile_stays(tmp_path: Path) -> None:
    begin(tmp_path)
    admin = User.objects.get()
    admin.set_password("chosen by a person")
    admin.save()
    token = client_rotate_token(client=ApiClient.objects.get())
    assert not begin(tmp_path)
    assert User.objects.get().check_password("chosen by a person")
    assert ApiClient.objects.get().token_hash == token_hash(token)


def test_the_note_of_another_database_changes_nothing_in_this_one(tmp_path: Path) -> None:
    with transaction.atomic():
        begin(tmp_path)
        transaction.set_rollback(True)
    User.objects.create_superuser("admin", password="of this database")
    _, token = client_create(name="local")
    assert not begin(tmp_path)
    assert User.objects.get().check_password("of this database")
    assert ApiClient.objects.get().token_hash == token_hash(token)


def test_the_client_of_the_environment_does_not_count_as_one(tmp_path: Path) -> None:
    environment_client_update(token="a token of the environment")
    made = begin(tmp_path)
    assert lets_in(made.client)


def test_no_secret_is_in_the_representation_of_what_was_made(tmp_path: Path) -> None:
    made = begin(tmp_path)
    assert known(made.admin).secret not in repr(made)
    assert known(made.client).secret not in repr(made)
