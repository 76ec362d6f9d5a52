"""Tools that an agent may call: what the language model is shown of them, and whether what it asks for makes sense.

A tool's `parameters` are JSON schema with the API's own additions (rest.md 3.4): each property takes its value from the
model, or from a constant, a dynamic variable or the system. The model is shown only what it is to fill in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from antiphon.errors import AntiphonError

from .arguments import Filling, check_schema, malformed, shown
from .reading import View, read
from .system_tools import schema as system_schema
from .webhook import Webhook

MCP_TIMEOUT = 30.0
"Seconds that an MCP tool gets by default; the others get 20 (rest.md 2.1)."


class ToolArgumentError(AntiphonError):
    """A call's arguments do not fit. The message is made for the language model to read and to try again."""


def _timeout(seconds: float) -> float:
    if seconds > 0 or seconds == -1:
        return seconds
    raise PydanticCustomError("range", "should be above 0 seconds, or -1 for no limit")


def _object_schema(parameters: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if parameters is not None:
        if parameters.get("type", "object") != "object":
            raise malformed("type", "'object'")
        check_schema(parameters, "")
    return parameters


class DynamicVariables(View):
    """Values for `{{name}}`, used where a client gives none."""

    dynamic_variable_placeholders: Mapping[str, Any] = {}


class Assignment(View):
    """One of `assignments`: a value of a tool's JSON answer that becomes a dynamic variable."""

    source: Literal["response"] = "response"
    dynamic_variable: str
    value_path: str
    "Dots between keys and indices: `user.orders.0.id`. Where nothing is, the variable stays as it was."
    sanitize: bool = False
    "The model and the record do not get to see the value."
    preserve_native_type: bool = False
    "Lists and objects stay what they are; else they become JSON text."


class ToolConfig(View):
    """One tool's definition, of any type."""

    type: str = "client"
    "client, webhook, system or mcp; other types that agents carry are kept, and cannot be called here."
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    "When and why to call it, for the model. Of a system tool, empty: the built-in description."
    parameters: Annotated[Mapping[str, Any] | None, AfterValidator(_object_schema)] = None
    "Schema of the arguments of a client or MCP tool."
    expects_response: bool = False
    "Of a client tool: whether the agent waits for the result."
    response_timeout_secs: Annotated[float, AfterValidator(_timeout)] = 20.0
    "How long the agent waits for the result; -1: for ever."
    interruption_mode: Literal["allow", "disable_during_tool", "disable_during_tool_and_turn"] = "allow"
    "Whether the user may interrupt while it runs."
    execution_mode: Literal["immediate", "post_tool_speech", "async"] = "immediate"
    "Run at once; when the agent has finished speaking; or without anybody waiting for it."
    pre_tool_speech: Literal["auto", "force", "off"] = "auto"
    "Whether the agent says something before it runs."
    assignments: tuple[Assignment, ...] = ()
    "What of its answer becomes a dynamic variable."
    tool_error_handling_mode: Literal["auto", "summarized", "passthrough", "hide"] = "auto"
    "How much of a failure the model is told. `auto`: of a webhook, that it failed; of others, all. `summarized`: same."
    dynamic_variables: DynamicVariables = DynamicVariables()
    api_schema: Webhook | None = None
    "Of a webhook tool: method, address and where the arguments go."
    follow_redirects: bool = False
    "Of a webhook tool: one redirect is followed, from https to https, as a GET that carries nothing of the tool's."
    follow_redirects_allowed_domains: tuple[str, ...] = ()
    "Where it may lead; nowhere else."
    params: Mapping[str, Any] | None = None
    "Of a system tool: its settings."

    @model_validator(mode="before")
    @classmethod
    def _of_older_clients(cls, document: Any) -> Any:
        """Older names are still sent: `disable_interruptions`, `force_pre_tool_speech` (rest.md 2.1)."""
        if not isinstance(document, Mapping):
            return document
        tool = dict(cast("Mapping[str, Any]", document))
        if tool.get("disable_interruptions") is True and tool.get("interruption_mode") in (None, "allow"):
            tool["interruption_mode"] = "disable_during_tool"
        if tool.get("force_pre_tool_speech") is True and tool.get("pre_tool_speech") in (None, "auto"):
            tool["pre_tool_speech"] = "force"
        if tool.get("type") == "mcp" and tool.get("response_timeout_secs") is None:
            tool["response_timeout_secs"] = MCP_TIMEOUT
        return tool

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, path: str = "") -> ToolConfig:
        """A tool from its JSON. Raises ConfigError, as `AgentConfig.parse`."""
        return read(cls, document, path=path)

    def json_schema(self) -> dict[str, Any]:
        """What the model is shown: JSON schema of the arguments that it is to fill in, always an object."""
        return shown({"type": "object", "properties": {}, **self.arguments})

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Every argument, also those that the model does not give."""
        if self.type == "system":
            return system_schema(self.kind, self.params or {})
        if self.api_schema is not None:
            return self.api_schema.parameters
        return self.parameters or {}

    @property
    def kind(self) -> str:
        """Of a system tool, what it does: its name, where its settings do not say (rest.md 2.1)."""
        named: Any = (self.params or {}).get("system_tool_type")
        return named if isinstance(named, str) and named else self.name

    def check_arguments(
        self, parameters: Mapping[str, Any], *, variables: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The arguments to call with: the model's, checked and put right, and those that are not the model's to give.

        Models send `"3"` for 3 and null for what they leave out; that is put right. Arguments that the schema does not
        name are passed on. `variables`: this conversation's dynamic variables; the tool's own placeholders stand in.

        Raises:
            ToolArgumentError: one sentence for each thing that is wrong.
        """
        known = {**self.dynamic_variables.dynamic_variable_placeholders, **(variables or {})}
        filling = Filling(known)
        arguments = filling.fill(self.arguments, parameters)
        if filling.problems:
            said = "; ".join(f"{problem.where} {problem.what}" for problem in filling.problems)
            schema = json.dumps(self.json_schema(), ensure_ascii=False)
            raise ToolArgumentError(f"{self.name} was not called: {said}. Its parameters: {schema}")
        return arguments
