"""Environment variables of the workspace: what `env_var_label` and `system__env_...` stand for in a conversation.

Each has a value for some environments, for `production` always; what an environment has no value for is taken from
there. A value is a text, or a secret of the workspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from antiphon.agents.workspace import Workspace
from antiphon.errors import NotFoundError
from antiphon.store.resources import Resources

from .tokens import DEFAULT_ENVIRONMENT

KIND = "environment_variable"


@dataclass(frozen=True, slots=True)
class EnvironmentVariables:
    """Those of one environment, by label."""

    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    "What agents may tell of."
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    "What only headers and keys of models may hold."

    @property
    def all(self) -> dict[str, str]:
        """Both."""
        return {**self.texts, **self.secrets}


async def environment_variables(
    resources: Resources, workspace: Workspace, environment: str | None
) -> EnvironmentVariables:
    """Those of an environment; None: of `production`. One whose secret is gone is left out. Raises StoreError."""
    texts: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for variable in await resources.all(KIND):
        values: Mapping[str, Any] = variable.document["values"]
        value = values.get(environment or DEFAULT_ENVIRONMENT, values.get(DEFAULT_ENVIRONMENT))
        if isinstance(value, str):
            texts[variable.name] = value
        elif isinstance(value, Mapping) and "secret_id" in value:
            try:
                secrets[variable.name] = await workspace.secret(str(cast("Mapping[str, Any]", value)["secret_id"]))
            except NotFoundError:
                continue
    return EnvironmentVariables(texts, secrets)
