"""Environment variables: what a label stands for in each environment that agents run in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from antiphon.errors import NotFoundError
from antiphon.server.environment_variables import KIND
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.shapes import completed
from antiphon.server.services import Services
from antiphon.server.tokens import DEFAULT_ENVIRONMENT
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai/environment-variables", tags=["environment variables"], dependencies=[KeyNeeded])

Type = Literal["string", "secret", "auth_connection"]
Label = Annotated[str, Field(min_length=1)]


class SecretValue(BaseModel):
    """A secret of the workspace."""

    model_config = ConfigDict(extra="forbid")

    secret_id: str


class AuthConnectionValue(BaseModel):
    """An auth connection."""

    model_config = ConfigDict(extra="forbid")

    auth_connection_id: str


Value = Annotated[str, Field(min_length=1)] | SecretValue | AuthConnectionValue
HOLDS: dict[str, type] = {"string": str, "secret": SecretValue, "auth_connection": AuthConnectionValue}


class NewVariable(BaseModel):
    """A variable."""

    model_config = ConfigDict(extra="ignore")

    type: Type
    label: Label
    values: dict[Label, Value]


class ChangedVariable(BaseModel):
    """Its values in some environments; null takes one away."""

    model_config = ConfigDict(extra="ignore")

    values: dict[Label, Value | None]


@router.post("")
async def create_environment_variable(services: ServicesOf, body: NewVariable) -> dict[str, Any]:
    """Keep a variable. Its label is its own, and it has a value for `production`."""
    if DEFAULT_ENVIRONMENT not in body.values:
        raise _invalid(f"a value for {DEFAULT_ENVIRONMENT!r} is needed")
    await _check(services, body.type, list(body.values.values()))
    if any(variable.name == body.label for variable in await services.store.resources.all(KIND)):
        raise ApiError(409, "environment_variable_exists", "there is an environment variable of that label already")
    document = {"type": body.type, "values": body.model_dump()["values"]}
    identifier = services.new_id("envvar")
    return _shown(await services.store.resources.create(KIND, identifier, body.label, document, now=services.epoch()))


@router.get("")
async def list_environment_variables(
    services: ServicesOf,
    page_size: Annotated[int, Query()] = 100,
    cursor: Annotated[str | None, Query()] = None,
    label: Annotated[str | None, Query()] = None,
    environment: Annotated[str | None, Query()] = None,
    type: Annotated[Type | None, Query()] = None,  # noqa: A002  the API's name for it
) -> dict[str, Any]:
    """A page of them; of one environment, with its values alone, where one is asked for."""
    page = await services.store.resources.page(KIND, cursor=cursor, page_size=max(1, min(page_size, 100)))
    shown = [
        _shown(variable, environment)
        for variable in page.items
        if label in (None, variable.name)
        and type in (None, variable.document["type"])
        and (environment is None or environment in variable.document["values"])
    ]
    return {"environment_variables": shown, "next_cursor": page.next_cursor, "has_more": page.has_more}


@router.get("/{env_var_id}")
async def get_environment_variable(services: ServicesOf, env_var_id: str) -> dict[str, Any]:
    """A variable."""
    return _shown(await services.store.resources.get(KIND, env_var_id))


@router.patch("/{env_var_id}")
async def update_environment_variable(services: ServicesOf, env_var_id: str, body: ChangedVariable) -> dict[str, Any]:
    """Other values in the environments that are given. `production` keeps one."""
    before = await services.store.resources.get(KIND, env_var_id)
    if body.values.get(DEFAULT_ENVIRONMENT, "") is None:
        raise _invalid(f"the value for {DEFAULT_ENVIRONMENT!r} cannot be taken away")
    await _check(services, before.document["type"], [value for value in body.values.values() if value is not None])
    values = {**before.document["values"], **body.model_dump()["values"]}
    document = {**before.document, "values": {name: value for name, value in values.items() if value is not None}}
    return _shown(
        await services.store.resources.update(
            KIND, env_var_id, now=services.epoch(), document=document, expected=before.updated_at
        )
    )


@router.delete("/{env_var_id}")
async def delete_environment_variable(services: ServicesOf, env_var_id: str) -> dict[str, Any]:
    """Forget a variable. Conversations that go on keep its value."""
    await services.store.resources.delete(KIND, env_var_id)
    return {}


async def _check(services: Services, kind: str, values: list[Any]) -> None:
    """Raises RequestValidationError: a value is of another type, or its secret is not there."""
    for value in values:
        if not isinstance(value, HOLDS[kind]):
            raise _invalid(f"the values of a variable of the type {kind!r} are of that type")
        if isinstance(value, SecretValue):
            try:
                await services.workspace.secret(value.secret_id)
            except NotFoundError as error:
                raise _invalid(str(error)) from error


def _invalid(message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", "values"), "msg": message, "type": "value_error"}])


def _shown(variable: Resource, environment: str | None = None) -> dict[str, Any]:
    values = variable.document["values"]
    known = {
        **variable.document,
        "id": variable.id,
        "label": variable.name,
        "values": values if environment is None else {environment: values[environment]},
        "workspace_id": "workspace",
        "created_at_unix_secs": int(variable.created_at),
        "updated_at_unix_secs": int(variable.updated_at),
    }
    return completed("EnvironmentVariableResponse", known)
