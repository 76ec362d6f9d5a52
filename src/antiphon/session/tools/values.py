"""What a conversation's tools put into their requests: dynamic variables as they are now, and secrets.

Whatever secret has been used is known here, and taken out of every text that leaves a tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from antiphon.agents.arguments import SECRET
from antiphon.agents.initiation import SYSTEM
from antiphon.agents.webhook import Header, as_text
from antiphon.agents.workspace import Workspace
from antiphon.errors import AntiphonError, NotFoundError

HIDDEN = "[secret]"
_SHORTEST_SECRET = 4
"Characters. What is shorter hides nothing, and taking it out would tear words apart."
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


class ValueMissingError(AntiphonError):
    """A request needs a value that nobody has given. The message names it, and never a value."""


class Values:
    """Variables and secrets of one conversation.

    `system_variables`: those of the server, asked for anew at each use, for they tell the time. `environment`: what
    `env_var_label` names.
    """

    def __init__(
        self,
        variables: Mapping[str, Any],
        system_variables: Callable[[], Mapping[str, Any]] = dict,
        workspace: Workspace | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._variables = dict(variables)
        self._system_variables = system_variables
        self._workspace = workspace
        self._environment = environment or {}
        self._used: set[str] = set()

    @property
    def current(self) -> dict[str, Any]:
        """Every variable as it is now, secrets included."""
        return {**self._variables, **self._system_variables()}

    def assign(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Set variables; returns those that may be told of. The server's own cannot be set."""
        own = {name: value for name, value in values.items() if not name.startswith(SYSTEM)}
        self._variables |= own
        return {name: value for name, value in own.items() if not name.startswith(SECRET)}

    async def secret(self, secret_id: str) -> str:
        """A secret of the workspace. Raises ValueMissingError."""
        try:
            if self._workspace is None:
                raise NotFoundError("secret", secret_id)
            value = await self._workspace.secret(secret_id)
        except NotFoundError as error:
            raise ValueMissingError(str(error)) from error
        self._used.add(value)
        return value

    async def header(self, value: Header) -> str:
        """A header, or an address that may be secret: its text, with all variables put in. Raises ValueMissingError."""
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: self.variable(match[1], secrets=True), value)
        if isinstance(secret_id := value.get("secret_id"), str):
            return await self.secret(secret_id)
        if isinstance(name := value.get("variable_name"), str):
            return self.variable(name, secrets=True)
        if isinstance(label := value.get("env_var_label"), str):
            if label not in self._environment:
                raise ValueMissingError(f"no environment variable {label!r}")
            self._used.add(self._environment[label])
            return self._environment[label]
        raise ValueMissingError("a header says neither secret_id nor variable_name nor env_var_label")

    async def meta(self, entries: Mapping[str, Any]) -> dict[str, Any]:
        """Entries of an MCP request's `_meta`: scalars as they are, the rest as headers. Raises ValueMissingError."""
        return {
            name: await self.header(cast("Header", value)) if isinstance(value, (str, Mapping)) else value
            for name, value in entries.items()
        }

    def variable(self, name: str, *, secrets: bool = False) -> str:
        """A variable as text. Raises ValueMissingError; so is a secret one where `secrets` is false."""
        value = self.current.get(name) if secrets or not name.startswith(SECRET) else None
        if value is None:
            raise ValueMissingError(f"the variable {name!r} has no value")
        return as_text(value)

    def redact(self, text: str) -> str:
        """The text without any secret that this conversation has used or was given."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            for spelt in {secret, secret.encode(errors="replace").decode("latin-1")}:  # HTTP reads headers as Latin-1
                for shape in {spelt, json.dumps(spelt)[1:-1], json.dumps(spelt, ensure_ascii=False)[1:-1]}:
                    text = text.replace(shape, HIDDEN)
        return text

    def redacted(self, value: Any) -> Any:
        """The same for every text in a JSON value."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redacted(inner) for inner in cast("list[Any]", value)]
        if isinstance(value, Mapping):
            return {key: self.redacted(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
        return value

    def _secrets(self) -> set[str]:
        given = {as_text(value) for name, value in self._variables.items() if name.startswith(SECRET)}
        return {secret for secret in given | self._used if len(secret) >= _SHORTEST_SECRET}
