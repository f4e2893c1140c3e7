"""manage.py call: calls a tool of a running hub, over WebSocket like any other client."""

import asyncio
import json
import os
import signal
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand

from exai.client import CannotConnect, ConnectionLost, Refused, ToolClient, connected
from exai.management.call.arguments import ArgumentError, read_arguments
from exai.management.call.exit_codes import ExitCode
from exai.management.call.uploads import local_files, upload_files, with_ids
from exai.management.call.view import CallView
from exai.settings.hub import HubSettings, hub_settings
from exai.uploads import UploadFailed, files_url

_TICK_S = 1.0
_REQUEST_ID = "call"


class Command(BaseCommand):
    help = (
        "Call a tool of the running hub. Arguments are key=value words; key=@file takes a value from a file, "
        "key=@- from standard input. A list is JSON, or key=item for each of its items: files=a.py files=b.pdf. "
        "Files and images of this machine are uploaded first; ids of uploaded files and data: URLs go as they are. "
        "Exit codes: 0 answered, 1 the call failed, 2 wrong arguments, 3 no hub, 4 token refused, 130 cancelled."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tool", nargs="?", help="the tool's name; --list shows them")
        parser.add_argument("arguments", nargs="*", metavar="key=value")
        parser.add_argument("--json", metavar="OBJECT", help="arguments as a JSON object; key=value words win over it")
        parser.add_argument("--continue", dest="continuation_id", metavar="ID", help="go on with this conversation")
        parser.add_argument("--stream", action=BooleanOptionalAction, help="show the answer as it comes (default: yes)")
        parser.add_argument("--raw", action="store_true", help="print the result frame as JSON, and nothing else")
        parser.add_argument("--url", help="ws:// address of the hub; by default that of the settings")
        parser.add_argument("--token", help="by default EXAI_WS_TOKEN, else the token file of this hub")
        parser.add_argument("--list", action="store_true", help="list the tools and their arguments")

    def handle(self, *args: Any, **options: Any) -> None:
        code = ExitCode.NO_HUB
        try:
            code = asyncio.run(_Call(options).run())
            sys.stdout.flush()
        except KeyboardInterrupt:
            # Before there was a call to cancel, or once more because cancelling takes long.
            code = ExitCode.CANCELLED
        except BrokenPipeError:
            # The reader of our output went away, as `head` does; nothing is left to tell it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(code)


class _Call:
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._url = self._token = ""

    async def run(self) -> ExitCode:
        settings = hub_settings()
        if not self._options["tool"] and not self._options["list"]:
            return _tell("Name a tool, or list them with --list.", ExitCode.USAGE)
        token = self._options["token"] or _default_token(settings)
        if token is None:
            return _tell(
                f"There is no token: give --token, set EXAI_WS_TOKEN, or start the hub once, which writes "
                f"{settings.token_file}.",
                ExitCode.USAGE,
            )
        self._url = self._options["url"] or settings.local_url.replace("http", "ws", 1) + "/ws/tools/"
        self._token = token
        try:
            async with connected(self._url, token) as client:
                return await self._with(client)
        except CannotConnect as error:
            return _tell(f"{error} Start it with `make run`, or name another by --url.", ExitCode.NO_HUB)
        except Refused as error:
            if error.error != "unauthorized":
                return _tell(str(error), ExitCode.NO_HUB)
            return _tell("The hub does not take this token. Make one: manage.py create_client NAME.", ExitCode.REFUSED)
        except ConnectionLost as error:
            return _tell(str(error), ExitCode.NO_HUB)
        except UploadFailed as error:
            return _tell(str(error), ExitCode.NO_HUB if error.status is None else ExitCode.FAILED)
        except ArgumentError as error:
            return _tell(str(error), ExitCode.USAGE)

    async def _with(self, client: ToolClient) -> ExitCode:
        listed = await client.request("list_tools")
        if "tools" not in listed:
            CallView().failure(listed["error"])
            return ExitCode.FAILED
        tools = {tool["name"]: tool for tool in listed["tools"]}
        if self._options["list"]:
            _print_tools(tools)
            return ExitCode.ANSWERED
        name = self._options["tool"]
        if name not in tools:
            return _tell(f"There is no tool {name!r}. There are: {', '.join(tools)}.", ExitCode.USAGE)
        schema = tools[name]["inputSchema"]
        arguments = read_arguments(self._options["arguments"], self._options["json"], schema)
        if self._options["continuation_id"]:
            arguments["continuation_id"] = self._options["continuation_id"]
        if "stream" in schema["properties"] and not self._options["raw"] and self._options["stream"] is not False:
            arguments.setdefault("stream", True)
        if paths := local_files(arguments):
            ids = await upload_files(
                paths, url=files_url(self._url), token=self._token, shows_progress=not self._options["raw"]
            )
            arguments = with_ids(arguments, ids)
        return await self._call(client, name, arguments)

    async def _call(self, client: ToolClient, name: str, arguments: dict[str, Any]) -> ExitCode:
        view = CallView()
        cancelled = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, cancelled.set)
        on_frame = None if self._options["raw"] else view.on_frame
        calling = asyncio.create_task(client.call(name, arguments, request_id=_REQUEST_ID, on_frame=on_frame))
        cancelling = asyncio.create_task(_cancel_when(cancelled, client))
        while not calling.done():
            if not self._options["raw"]:
                view.tick()
            await asyncio.wait({calling}, timeout=_TICK_S)
        cancelling.cancel()
        with suppress(asyncio.CancelledError):
            await cancelling
        frame = calling.result()
        if self._options["raw"]:
            print(json.dumps(frame, ensure_ascii=False))
        elif frame.get("ok"):
            view.answer(frame)
        else:
            view.failure(frame["error"])
        if frame.get("ok"):
            return ExitCode.ANSWERED
        return ExitCode.CANCELLED if frame["error"]["code"] == "CANCELLED" else ExitCode.FAILED


async def _cancel_when(asked: asyncio.Event, client: ToolClient) -> None:
    """On the first Ctrl-C the hub is asked to stop the call, which then ends; a second one does not wait for that."""
    await asked.wait()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    await client.cancel(_REQUEST_ID)


def _default_token(settings: HubSettings) -> str | None:
    if settings.ws_token:
        return settings.ws_token.get_secret_value()
    try:
        return settings.token_file.read_text().strip()
    except OSError:
        return None


def _print_tools(tools: dict[str, dict[str, Any]]) -> None:
    for name, tool in tools.items():
        print(f"{name}\n  {tool['description']}")
        schema = tool["inputSchema"]
        for field, about in schema["properties"].items():
            kind = "|".join(str(choice) for choice in about["enum"]) if "enum" in about else about.get("type", "any")
            needed = " (required)" if field in schema["required"] else ""
            print(f"    {field}={kind}{needed}  {about.get('description', '')}".rstrip())


def _tell(message: str, code: ExitCode) -> ExitCode:
    print(message, file=sys.stderr)
    return code
