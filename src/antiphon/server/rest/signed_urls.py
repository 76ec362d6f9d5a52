"""Ways to an agent for who holds no key: the signed address that starts a conversation."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request

from antiphon.protocol.server import conversation_id as new_conversation_id
from antiphon.server.addresses import websocket_base
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf, require_scope
from antiphon.server.rest.errors import ApiError

router = APIRouter(prefix="/v1/convai/conversation", tags=["conversations"])


@router.get("/get-signed-url", dependencies=[KeyNeeded])
@router.get("/get_signed_url", dependencies=[KeyNeeded], deprecated=True, operation_id="get_signed_url_by_its_old_name")
async def get_signed_url(
    request: Request,
    services: ServicesOf,
    agent_id: Annotated[str, Query()],
    include_conversation_id: bool = False,
    branch_id: str | None = None,
    environment: str | None = None,
    enable_logging: bool = True,
) -> dict[str, str]:
    """An address that admits to one agent, to start conversations within 15 minutes, without a key.

    With `include_conversation_id` it starts one conversation, whose id it tells. It is bound to the agent, the branch
    and the environment. With `enable_logging=false` nothing that is said in them is kept.
    """
    await services.workspace.agent(agent_id)
    conversation_id = new_conversation_id(services.random_bits(160)) if include_conversation_id else ""
    token = services.authority.sign(
        agent_id,
        token_id=f"{services.random_bits(128):032x}",
        branch_id=branch_id,
        environment=environment,
        conversation_id=conversation_id,
        logging=enable_logging,
    )
    query = {
        "agent_id": agent_id,
        "conversation_signature": token,
        "conversation_id": conversation_id,
        "branch_id": branch_id,
        "environment": environment,
        "enable_logging": "" if enable_logging else "false",
    }
    said = urlencode({name: value for name, value in query.items() if value}, encoding="utf-8", errors="replace")
    return {"signed_url": f"{websocket_base(request.scope, services.settings)}/v1/convai/conversation?{said}"}


@router.get("/token")
async def get_token(request: Request, services: ServicesOf, agent_id: Annotated[str, Query()]) -> None:
    """400: there is no WebRTC here. Browsers ask for this token first unless they are told to use a WebSocket."""
    agent = await services.workspace.agent(agent_id)
    if agent.platform_settings.auth.enable_auth:
        require_scope(request, "converse")
    message = (
        'this server has no WebRTC: start the session with connectionType: "websocket", or with a signedUrl from '
        "/v1/convai/conversation/get-signed-url"
    )
    raise ApiError(400, "webrtc_not_supported", message)
