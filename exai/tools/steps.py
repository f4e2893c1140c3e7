"""A step of a workflow, as the conversation keeps it."""

from typing import Any

import msgspec

from exai.protocol.values import FileMention


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`total`: how many were expected. `is_last`: no other follows. `goes_back`: this step replaces that one of its
    number and all later ones. `details`: what only this tool knows of."""

    number: int
    total: int
    text: str
    is_last: bool = False
    findings: str = ""
    files_checked: tuple[str, ...] = ()
    relevant_files: tuple[FileMention, ...] = ()
    images: tuple[FileMention, ...] = ()
    relevant_context: tuple[str, ...] = ()
    issues_found: tuple[dict[str, Any], ...] = ()
    confidence: str = ""
    hypothesis: str = ""
    goes_back: bool = False
    details: dict[str, Any] = {}

    @property
    def files(self) -> tuple[FileMention, ...]:
        return (*self.relevant_files, *self.images)
