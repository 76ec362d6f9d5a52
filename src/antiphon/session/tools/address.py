"""Addresses of webhooks, with values in them that nobody has vetted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import Match
from typing import Any
from urllib.parse import quote, urlsplit

from antiphon.agents.webhook import PLACEHOLDER, as_text, authority
from antiphon.errors import AntiphonError


class AddressError(AntiphonError):
    """An address cannot be made of these values. The message is fit for a language model."""


def address(template: str, parameters: Mapping[str, Any], variable: Callable[[str], str]) -> str:
    """The address, with values put in: no value can leave the segment of the path or the field that it stands in.

    `variable`: the value of a dynamic variable, by name; in the host it is put in as it is, for it is the author's.

    Raises:
        AddressError: a parameter has no value, or would turn the path elsewhere.
    """
    host, slash, rest = authority(template)

    def put(match: Match[str]) -> str:
        if match["variable"]:
            return quote(variable(match["variable"]), safe="")
        value = parameters.get(match["parameter"])
        if value is None or value == "":
            raise AddressError(f"{match['parameter']} has no value")
        return quote(as_text(value), safe="")

    filled = PLACEHOLDER.sub(put, rest)
    path = filled.partition("?")[0].partition("#")[0]
    if any(segment in (".", "..") for segment in path.split("/")):
        raise AddressError("a part of the address may not be '.' or '..'")
    host = PLACEHOLDER.sub(lambda match: variable(match["variable"] or ""), host)
    whole = host + slash + filled
    try:
        parts = urlsplit(whole)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise AddressError("the address is none")
    return whole
