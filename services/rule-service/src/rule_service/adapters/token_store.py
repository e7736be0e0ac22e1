"""Local list and answers of the cloud, in the service's own SQLite, under keyed hashes of the driver tokens.

A list is replaced in one transaction: readers see the old one or the new one. Another hash key makes
everything here unreadable, so it is dropped and comes anew.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)

from holdfast.contracts.decision import CachedToken
from holdfast.contracts.rules import DriverTokenList, ListedToken, TokenStatus
from rule_service.domain.driver_tokens import keyed_hash

metadata = MetaData()

_listed = Table(
    "listed_token",
    metadata,
    Column("token_hash", String(32), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("parent", String(255)),
    Column("valid_until_ms", BigInteger),
)
_cached = Table(
    "cached_token",
    metadata,
    Column("token_hash", String(32), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("parent", String(255)),
    Column("valid_until_ms", BigInteger),
    Column("answered_at_ms", BigInteger, nullable=False),
    Index("cached_token_by_age", "answered_at_ms"),
)
_installed = Table(
    "installed_list",
    metadata,
    Column("key_check", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("hash", String(32), nullable=False),
)

BATCH = 5_000


class Installed(NamedTuple):
    """The local list in force."""

    version: int
    entries: int
    hash: str
    """Keyed like the tokens: a plain hash of a short list would give its tokens away."""


NONE_INSTALLED = Installed(0, 0, "")


class TokenStore:
    def __init__(self, engine: Engine, key: bytes) -> None:
        self._engine = engine
        self._key = key
        self._key_check = keyed_hash(key, "which key is this")
        metadata.create_all(engine)
        with engine.begin() as connection:
            known = connection.execute(select(_installed.c.key_check)).scalar()
            if known not in (None, self._key_check):
                for table in (_listed, _cached, _installed):
                    connection.execute(delete(table))
            self._cached_count = connection.execute(
                select(func.count()).select_from(_cached)
            ).scalar_one()

    def hash(self, driver_token: str) -> str:
        return keyed_hash(self._key, driver_token)

    # --- the local list ---

    def installed(self) -> Installed:
        query = select(_installed.c.version, _installed.c.entries, _installed.c.hash)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return Installed(row.version, row.entries, row.hash) if row else NONE_INSTALLED

    def install(self, tokens: DriverTokenList) -> Installed:
        """In place of the one before. A token listed twice counts as it was listed last."""
        rows = {self.hash(token.driver_token): token for token in tokens.tokens}
        installed = Installed(tokens.version, len(rows), self._hash_of(tokens))
        with self._engine.begin() as connection:
            connection.execute(delete(_listed))
            self._insert(connection, list(rows.items()))
            connection.execute(delete(_installed))
            row = {"key_check": self._key_check, **installed._asdict()}
            connection.execute(insert(_installed).values(row))
        return installed

    def _insert(self, connection: Connection, rows: list[tuple[str, ListedToken]]) -> None:
        for begin in range(0, len(rows), BATCH):
            values = [
                {
                    "token_hash": token_hash,
                    "status": token.status.value,
                    "parent": token.parent,
                    "valid_until_ms": token.valid_until_ms,
                }
                for token_hash, token in rows[begin : begin + BATCH]
            ]
            connection.execute(insert(_listed), values)

    def _hash_of(self, tokens: DriverTokenList) -> str:
        return keyed_hash(self._key, tokens.model_dump_json())

    def listed(self, token_hash: str) -> ListedToken | None:
        """With the hash in place of the driver token."""
        query = select(_listed).where(_listed.c.token_hash == token_hash)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return ListedToken(
            driver_token=token_hash,
            status=TokenStatus(row.status),
            parent=row.parent,
            valid_until_ms=row.valid_until_ms,
        )

    # --- answers of the cloud ---

    def cached(self, token_hash: str) -> CachedToken | None:
        query = select(_cached).where(_cached.c.token_hash == token_hash)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return CachedToken(
            status=TokenStatus(row.status),
            parent=row.parent,
            valid_until_ms=row.valid_until_ms,
            answered_at_ms=row.answered_at_ms,
        )

    def remember(self, token_hash: str, token: CachedToken, entries_max: int) -> None:
        """In place of an earlier answer; beyond `entries_max` the oldest answers go."""
        with self._engine.begin() as connection:
            known = connection.execute(delete(_cached).where(_cached.c.token_hash == token_hash))
            values = {
                "token_hash": token_hash,
                "status": token.status.value,
                "parent": token.parent,
                "valid_until_ms": token.valid_until_ms,
                "answered_at_ms": token.answered_at_ms,
            }
            connection.execute(insert(_cached).values(values))
            count = self._cached_count + 1 - known.rowcount
            count -= self._drop_oldest(connection, count - entries_max)
        self._cached_count = count

    def forget(self, token_hash: str) -> None:
        """The cloud does not know it any more."""
        with self._engine.begin() as connection:
            gone = connection.execute(delete(_cached).where(_cached.c.token_hash == token_hash))
        self._cached_count -= gone.rowcount

    def _drop_oldest(self, connection: Connection, excess: int) -> int:
        if excess <= 0:
            return 0
        oldest = select(_cached.c.token_hash).order_by(_cached.c.answered_at_ms).limit(excess)
        return connection.execute(delete(_cached).where(_cached.c.token_hash.in_(oldest))).rowcount
