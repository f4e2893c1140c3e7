"""manage.py conversations: finds, shows, exports, forks, renames, deletes and restores them."""

import json
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from conversations.exporting import ExportFormat, conversation_exported, cost_words, message_fields
from conversations.facts import Facts, conversation_facts
from conversations.forking import conversation_fork
from conversations.listing import Chosen, Place, conversations_listed, the_conversation
from conversations.models import Conversation
from conversations.searching import search
from conversations.selectors import BEYOND, get_conversation_messages
from conversations.services import bin_words, conversation_delete, conversation_rename, conversation_restore
from conversations.steps import get_newest_steps, step_fields, step_text, step_title
from exai.management.conversations.arguments import Reach, add_arguments, in_words, reach_of
from exai.management.terminal import fit_for, shown_time, table
from exai.protocol.errors import HubError
from exai.settings.hub import hub_settings

_ID = 13  # characters of an id in tables; enough to tell it by


class Command(BaseCommand):
    help = "Find, show, export, fork, rename, delete and restore conversations. Ends with 1 for what there is not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        reach = reach_of(options)
        deeds = {
            "list": self._list,
            "search": self._search,
            "show": self._show,
            "export": self._export,
            "fork": self._fork,
            "rename": self._rename,
            "delete": self._delete,
            "restore": self._restore,
        }
        try:
            deeds[options["deed"]](reach, options)
        except HubError as error:
            raise in_words(error) from None

    def _list(self, reach: Reach, options: dict[str, Any]) -> None:
        chosen = Chosen(
            reach.workspace,
            client=reach.client.name if reach.client else "",
            model=options["model"],
            since=options["since"],
            in_bin=options["bin"],
        )
        after = Place.of(options["after"]) if options["after"] else None
        page = conversations_listed(chosen, after=after, limit=options["limit"])
        if options["json"]:
            self._print_json(
                {"conversations": [row._asdict() for row in page.conversations], "next": str(page.next or "") or None}
            )
            return
        rows = [
            (
                *(str(row.continuation_id)[:_ID], shown_time(row.updated_at), row.turns, row.workspace, row.client),
                *(row.model or "–", row.title),
            )
            for row in page.conversations
        ]
        self._print(
            table(("ID", "LAST USED", "TURNS", "WORKSPACE", "CLIENT", "MODEL", "TITLE"), rows) if rows else "None."
        )
        if page.next:
            self.stderr.write(f"More: --after {page.next}")

    def _search(self, reach: Reach, options: dict[str, Any]) -> None:
        found = search(
            " ".join(options["words"]),
            workspace=reach.workspace,
            client_id=reach.client.pk if reach.client else None,
            before=options["after"],
            limit=options["limit"],
        )
        if options["json"]:
            hits = [
                {**hit._asdict(), "snippet": [{"text": text, "match": match} for text, match in hit.snippet]}
                for hit in found.hits
            ]
            self._print_json({"hits": hits, "next": found.before})
            return
        rows = [
            (
                *(str(hit.continuation_id)[:_ID], hit.position, shown_time(hit.created_at), hit.workspace, hit.role),
                "".join(f"[{text}]" if match else text for text, match in hit.snippet),
            )
            for hit in found.hits
        ]
        self._print(
            table(("ID", "MESSAGE", "TIME", "WORKSPACE", "ROLE", "TEXT"), rows) if rows else "Nothing was found."
        )
        if found.before is not None:
            self.stderr.write(f"More: --after {found.before}")

    def _show(self, reach: Reach, options: dict[str, Any]) -> None:
        conversation = self._one(reach, options, in_bin=None)
        before = options["before"]
        page = get_conversation_messages(
            conversation, before=None if before is None else max(0, min(before, BEYOND)), limit=options["limit"]
        )
        steps = get_newest_steps(conversation.pk, limit=options["limit"])
        facts = conversation_facts(conversation)
        if options["json"]:
            messages = [message_fields(message) for message in page]
            self._print_json({**_facts(facts), "messages": messages, "steps": [step_fields(step) for step in steps]})
            return
        self._print("\n".join(f"{name:<14}{value}" for name, value in _facts_in_words(facts)))
        if page and page[0].position:
            self._print(f"\n({page[0].position} earlier messages: --before {page[0].position})")
        for message in page:
            told = [message.model, message.details.tool, shown_time(message.created_at)]
            files = "".join(f"\nFile: {file.name}" for file in message.details.files)
            head = f"{message.position}  {message.role.upper()}  " + " · ".join(fact for fact in told if fact)
            self._print(f"\n── {head}{files}\n{message.content}")
        if steps and steps[0].position:
            self._print(f"\n({steps[0].position} earlier workflow steps are in the export)")
        for stored in steps:
            head = f"{step_title(stored)} · {shown_time(stored.created_at)}"
            self._print(f"\n── {head}\n{step_text(stored.step)}")

    def _export(self, reach: Reach, options: dict[str, Any]) -> None:
        conversation = self._one(reach, options, in_bin=None)
        pieces = conversation_exported(conversation, ExportFormat(options["format"]))
        with ExitStack() as stack:
            if options["output"] is None:
                for piece in pieces:
                    self.stdout.write(fit_for(self.stdout, piece), ending="")
                return
            try:
                file = stack.enter_context(Path(options["output"]).open("x", encoding="utf-8"))
            except OSError as error:
                raise CommandError(f"{options['output']} cannot be made: {error.strerror}") from None
            for piece in pieces:
                file.write(piece)
        self.stderr.write(f"Written to {options['output']}")

    def _fork(self, reach: Reach, options: dict[str, Any]) -> None:
        source = self._one(reach, options)
        owner = reach.client.pk if reach.client else source.client_id
        self._changed("Forked", conversation_fork(conversation=source, turns=options["turn"], client_id=owner), options)

    def _rename(self, reach: Reach, options: dict[str, Any]) -> None:
        conversation = self._one(reach, options)
        conversation_rename(conversation=conversation, title=options["title"])
        conversation.refresh_from_db()
        self._changed("Renamed", conversation, options)

    def _delete(self, reach: Reach, options: dict[str, Any]) -> None:
        conversation = self._one(reach, options)
        conversation_delete(conversation=conversation)
        self._changed("Deleted", conversation, options)
        if not options["json"]:
            self._print(bin_words(hub_settings().bin_days))

    def _restore(self, reach: Reach, options: dict[str, Any]) -> None:
        conversation = self._one(reach, options, in_bin=True)
        conversation_restore(conversation=conversation)
        self._changed("Restored", conversation, options)

    def _one(self, reach: Reach, options: dict[str, Any], *, in_bin: bool | None = False) -> Conversation:
        return the_conversation(options["id"], workspace=reach.workspace, in_bin=in_bin)

    def _changed(self, deed: str, conversation: Conversation, options: dict[str, Any]) -> None:
        if options["json"]:
            self._print_json({"continuation_id": conversation.continuation_id, "title": conversation.title})
        else:
            self._print(f"{deed}: {conversation.continuation_id}  {' '.join(conversation.title.split())}")

    def _print(self, text: str) -> None:
        self.stdout.write(fit_for(self.stdout, text))

    def _print_json(self, content: Any) -> None:
        # All but ASCII is escaped: nothing of it is obeyed by a terminal.
        self.stdout.write(json.dumps(msgspec.to_builtins(content), indent=2))


def _facts(facts: Facts) -> dict[str, Any]:
    conversation, details, usage = facts.conversation, facts.conversation.details, facts.usage
    return {
        **{name: getattr(conversation, name) for name in ("continuation_id", "title", "workspace")},
        "client": conversation.client.name,
        "model": conversation.model,
        "turns": facts.turns,
        "workflow_steps": facts.steps,
        "tokens": usage.tokens,
        "cost_usd": usage.known_cost if usage.used else None,
        "calls_of_unknown_cost": usage.unpriced,
        "forked_from": details.forked_from or None,
        "forked_at_turn": details.forked_at_turn or None,
        "files": [file._asdict() for file in facts.files],
        **{name: getattr(conversation, name) for name in ("created_at", "updated_at", "deleted_at")},
    }


def _facts_in_words(facts: Facts) -> list[tuple[str, object]]:
    conversation, details = facts.conversation, facts.conversation.details
    told: list[tuple[str, object]] = [
        ("Conversation", conversation.continuation_id),
        ("Title", " ".join(conversation.title.split())),
        ("Workspace", conversation.workspace),
        ("Client", conversation.client.name),
        ("Model", conversation.model or "–"),
        ("Last used", shown_time(conversation.updated_at)),
        ("Turns", facts.turns),
        ("Steps", facts.steps),
        ("Tokens", f"{facts.usage.tokens:,}"),
        ("Cost", cost_words(facts.usage)),
    ]
    if details.forked_from:
        told.append(("Forked from", f"{details.forked_from}, {details.forked_at_turn} turns of it"))
    if conversation.deleted_at:
        told.append(("In the bin", f"since {shown_time(conversation.deleted_at)}"))
    return told + [("File", f"{file.name} ({file.size_bytes:,} bytes)") for file in facts.files]
