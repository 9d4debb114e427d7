"""The package's messages in the words of the command line.

The package says ``timestamp='transact_time'``; whoever typed a command wants
``--timestamp transact_time``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Final

from rangebar_polars.cli.arguments import BarArguments, OutputArguments, TradeArguments
from rangebar_polars.cli.fetch import ArchiveArguments

__all__ = ["in_words_of_the_command"]

_OPTIONS: Final = frozenset(
    field.name
    for arguments in (BarArguments, TradeArguments, OutputArguments, ArchiveArguments)
    for field in fields(arguments)
)
# Names of options that are not names of columns, too.
_BARE: Final = re.compile(
    r"^(?:reset|incomplete|decimals)\b|\b(?:"
    + "|".join(field.name for field in fields(BarArguments) if "_" in field.name)
    + r")\b(?![='])"
)
_KEYWORD: Final = re.compile(
    r"\b(?P<name>[a-z_]+)=(?P<value>None|True|False|'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\d+|(?=\s))"
)
_RENAMED: Final[Mapping[str, str]] = {
    "has_header": "header",
    "vendor": "format",
}


def in_words_of_the_command(message: str) -> str:
    """
    One line of a message, with options as they are typed.

    Parameters
    ----------
    message
        What the package or Polars said; below the first line stands advice for programmers.
    """
    line = next((text.strip() for text in message.splitlines() if text.strip()), "failed")
    line = _KEYWORD.sub(lambda match: _option(match, _OPTIONS), line)
    line = _BARE.sub(lambda match: f"--{match[0].replace('_', '-')}", line)
    for name, option in _RENAMED.items():
        line = re.sub(rf"\b{name}\b", f"--{option}", line)
    return line


def _option(match: re.Match[str], known: Collection[str]) -> str:
    name = _RENAMED.get(match["name"], match["name"])
    if name not in known:
        return match[0]
    option, value = name.replace("_", "-"), match["value"]
    if value in {"None", "False"}:
        return f"--no-{option}"
    if value == "True":
        return f"--{option}"
    if value.startswith("["):
        values = re.findall(r"'([^']*)'|(\.\.\.)", value)
        value = ",".join(one or dots for one, dots in values)
    else:
        value = value.strip("'\"")
    if not value:
        return f"--{option}"
    return f"--{option} {'...' if value == '...' else shlex.quote(value)}"
