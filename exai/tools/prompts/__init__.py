"""The system prompts of the tools, one text file each."""

from pathlib import Path


def prompt(name: str) -> str:
    return (Path(__file__).with_name(f"{name}.txt")).read_text(encoding="utf-8").strip()
