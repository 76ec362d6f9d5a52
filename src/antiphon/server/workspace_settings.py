"""Settings of the workspace that an agent may have in another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from antiphon.agents.config import AgentConfig
from antiphon.errors import NotFoundError
from antiphon.store.resources import Resources


async def setting_for(agent: AgentConfig, resources: Resources, name: str, *, having: str) -> Mapping[str, Any]:
    """The object `name` of the agent's `platform_settings.workspace_overrides`; where that has nothing under `having`,
    the one of the workspace's settings; empty where there is none.

    Raises StoreError.
    """
    overrides = mapping(mapping(agent.raw.get("platform_settings")).get("workspace_overrides"))
    found = mapping(overrides.get(name))
    if found.get(having):
        return found
    try:
        return mapping((await resources.get("settings", "workspace")).document.get(name))
    except NotFoundError:
        return {}


def mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is an object; else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
