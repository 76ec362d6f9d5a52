"""The tables. A document is kept as the JSON text that came in: it is the truth, and columns beside it are for finding.

Times are seconds since 1970. A change here needs a migration (migrations/versions), which a test compares with this.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

resources = Table(
    "resources",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("name", Text, nullable=False),
    Column("parent", String(200), nullable=False, server_default=""),
    Column("document", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("ix_resources_order", "kind", "created_at", "id"),
)
"""Whatever has an id and a JSON document: agents, tools, tests, documents of the knowledge base, secrets, settings."""

contents = Table(
    "contents",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("media_type", String(200), nullable=False),
    Column("data", LargeBinary, nullable=False),
)
"Bytes that belong to a resource: a document's file."

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("agent_id", String(200), nullable=False),
    Column("user_id", String(500), index=True),
    Column("branch_id", String(200)),
    Column("status", String(16), nullable=False),
    Column("text_only", Boolean, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("duration", Float, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("successful", String(16), nullable=False),
    Column("rating", Integer),
    Column("title", Text),
    Column("language", String(32)),
    Column("has_audio", Boolean, nullable=False),
    Column("document", Text),
    Column("alive_at", Float, nullable=False),
    Index("ix_conversations_order", "started_at", "id"),
    Index("ix_conversations_agent", "agent_id", "started_at"),
)
"`document` is NULL until the conversation is over; until then, its journal is what is known."

journal = Table(
    "journal",
    metadata,
    Column("conversation_id", String(200), ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("lines", LargeBinary, nullable=False),
)
"Lines of conversations, as many in a row as were written at one time, in order."

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("hint", String(16), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    Column("used_at", Float),
)
"`digest`: SHA-256 of the key, in hexadecimal; keys are random enough to need no salt. `scopes`: a JSON list."

spent_tokens = Table(
    "spent_tokens",
    metadata,
    Column("token_id", String(64), primary_key=True),
    Column("expires_at", Float, nullable=False, index=True),
)
"Single-use tokens that have been used, until they would have expired anyway."

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),
    Column("conversation_id", String(200), nullable=False),
    Column("event", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Float, nullable=False, index=True),
    Column("claimed_until", Float, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("failure", Text),
)
"Webhooks that are still to be delivered. A node claims one for a while, delivers it and deletes it."
