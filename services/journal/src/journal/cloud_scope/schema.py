"""Tables of the archive: one schema for SQLite and PostgreSQL."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)


class Phase(StrEnum):
    """What becomes of the copy of one incarnation."""

    LIVE = "live"
    ENDED = "ended"
    """The site has a newer incarnation; what the copy still holds is being read."""
    CLOSED = "closed"
    """Read to its end; what the lost disk had beyond is a named gap."""
    RETIRED = "retired"
    """Closed, and the copied streams listen no more."""


metadata = MetaData()

copy = Table(
    "copy",
    metadata,
    # The order in which a site's incarnations came.
    Column(
        "ordinal",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("site", String(32), nullable=False),
    Column("incarnation", String(8), nullable=False),
    Column("phase", String(8), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("watermark", BigInteger, nullable=False),
    Column("watermark_hash", LargeBinary, nullable=False),
    Column("gap_to", BigInteger, nullable=False),
    Column("intact", Boolean, nullable=False),
    Column("diverged", Boolean, nullable=False),
    Column("republished", BigInteger, nullable=False),
    Index("copy_of", "site", "incarnation", unique=True),
)

entry = Table(
    "entry",
    metadata,
    Column("site", String(32), primary_key=True),
    Column("incarnation", String(8), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("stored_at_ms", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    # NULL: received, and no part of a chain that can be followed.
    Column("hash", LargeBinary),
    # Kept as evidence: not what the site signed.
    Column("excluded", Boolean, nullable=False),
    Index("entry_by_time", "site", "stored_at_ms"),
)

gap = Table(
    "gap",
    metadata,
    Column("site", String(32), primary_key=True),
    Column("incarnation", String(8), primary_key=True),
    Column("from_seq", BigInteger, primary_key=True),
    Column("to_seq", BigInteger),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("cause", String(16), nullable=False),
)
