"""Local list and answers of the cloud, in the service's own SQLite, under keyed hashes of the driver tokens.

A list is replaced, or changed, in one transaction: readers see the old one or the new one. Another hash key
makes everything here unreadable, so it is dropped and comes anew.
"""

from __future__ import annotations

import hmac
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
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
    inspect,
    select,
    text,
)

from holdfast.contracts.decision import CachedToken, Revocation
from holdfast.contracts.rules import (
    TOKENS_MAX,
    DriverTokenChanges,
    DriverTokenList,
    ListedToken,
    TokenIdentity,
    TokenStatus,
    TokenType,
    Whitelist,
)
from rule_service.domain.driver_tokens import keyed_hash
from rule_service.domain.token_lists import (
    DIGEST_BYTES,
    ListRefused,
    altered,
    entry_digest,
    sum_of,
)

metadata = MetaData()

_listed = Table(
    "listed_token",
    metadata,
    Column("token_hash", String(32), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("parent", String(255)),
    Column("valid_until_ms", BigInteger),
    Column("valid_from_ms", BigInteger),
    Column("whitelist", String(20)),
    Column("as_of_ms", BigInteger),
    # The entry's digest under a pad: in clear it would give the driver token away.
    Column("mark", String(64)),
)
_cached = Table(
    "cached_token",
    metadata,
    Column("token_hash", String(32), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("parent", String(255)),
    Column("valid_until_ms", BigInteger),
    Column("answered_at_ms", BigInteger, nullable=False),
    Column("whitelist", String(20)),
    Index("cached_token_by_age", "answered_at_ms"),
)
_revoked = Table(
    "revoked_token",
    metadata,
    Column("token_hash", String(32), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("said_at_ms", BigInteger, nullable=False),
    Column("known", Boolean, nullable=False),
    Index("revoked_token_by_worth", "known", "said_at_ms"),
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
            _add_columns(connection)
            known = connection.execute(select(_installed.c.key_check)).scalar()
            if known not in (None, self._key_check):
                for table in (_listed, _cached, _revoked, _installed):
                    connection.execute(delete(table))
            self._cached_count = connection.execute(
                select(func.count()).select_from(_cached)
            ).scalar_one()
            self._revoked_count = connection.execute(
                select(func.count()).select_from(_revoked)
            ).scalar_one()

    def hash(self, driver_token: str, token_type: TokenType = TokenType.ID_TAG) -> str:
        return keyed_hash(self._key, driver_token, token_type)

    def _hash_of(self, token: TokenIdentity) -> str:
        return self.hash(token.driver_token, token.token_type)

    # --- the local list ---

    def installed(self) -> Installed:
        query = select(_installed.c.version, _installed.c.entries, _installed.c.hash)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return Installed(row.version, row.entries, row.hash) if row else NONE_INSTALLED

    def install(self, tokens: DriverTokenList) -> Installed:
        """In place of the one before. A token listed twice counts as it was listed last. Raise ListRefused."""
        rows = {self._hash_of(token): token for token in tokens.tokens}
        with self._engine.begin() as connection:
            connection.execute(delete(_listed))
            result = sum_of(self._insert(connection, rows, tokens.as_of_ms))
            if tokens.hash not in ("", result):
                raise ListRefused(altered(tokens))
            return self._stands(connection, tokens.version, result)

    def apply(self, changes: DriverTokenChanges) -> Installed:
        """All of them, or none: raise ListRefused when they do not lead to the list that they name."""
        rows = {self._hash_of(token): token for token in changes.changed}
        with self._engine.begin() as connection:
            base = connection.execute(select(_installed.c.version)).scalar() or 0
            if base != changes.base_version:
                raise ListRefused(
                    f"version {changes.version} is changes to version {changes.base_version}, "
                    f"and {base or 'none'} is installed"
                )
            gone = [self._hash_of(token) for token in changes.removed]
            self._delete(connection, [*gone, *rows])
            self._insert(connection, rows, changes.as_of_ms)
            result = self._sum(connection)
            if result != changes.hash:
                raise ListRefused(
                    f"the changes from version {base} to {changes.version} do not lead to the list "
                    "that they name"
                )
            return self._stands(connection, changes.version, result)

    def _stands(self, connection: Connection, version: int, result: str) -> Installed:
        entries = connection.execute(select(func.count()).select_from(_listed)).scalar_one()
        if entries > TOKENS_MAX:
            raise ListRefused(f"{entries} driver tokens: {TOKENS_MAX} are the most on one list")
        installed = Installed(version, entries, keyed_hash(self._key, result))
        connection.execute(delete(_installed))
        row = {"key_check": self._key_check, **installed._asdict()}
        connection.execute(insert(_installed).values(row))
        return installed

    def _delete(self, connection: Connection, token_hashes: list[str]) -> None:
        for begin in range(0, len(token_hashes), BATCH):
            some = token_hashes[begin : begin + BATCH]
            connection.execute(delete(_listed).where(_listed.c.token_hash.in_(some)))

    def _insert(
        self, connection: Connection, rows: dict[str, ListedToken], as_of_ms: int | None
    ) -> list[bytes]:
        """The entries' digests. Said at an unknown time: before everything."""
        items = list(rows.items())
        digests = [entry_digest(token) for token in rows.values()]
        for begin in range(0, len(items), BATCH):
            values = [
                {
                    "token_hash": token_hash,
                    "status": token.status.value,
                    "parent": token.parent,
                    "valid_until_ms": token.valid_until_ms,
                    "valid_from_ms": token.valid_from_ms,
                    "whitelist": token.whitelist.value if token.whitelist else None,
                    "as_of_ms": (as_of_ms or 0) if token.as_of_ms is None else token.as_of_ms,
                    "mark": self._padded(token_hash, digest).hex(),
                }
                for (token_hash, token), digest in zip(
                    items[begin : begin + BATCH], digests[begin : begin + BATCH], strict=True
                )
            ]
            connection.execute(insert(_listed), values)
        return digests

    def _sum(self, connection: Connection) -> str:
        """Of all entries that stand. With one from before entries had marks it is no list's hash."""
        rows = connection.execute(select(_listed.c.token_hash, _listed.c.mark))
        return sum_of(
            self._padded(row.token_hash, bytes.fromhex(row.mark or "00" * DIGEST_BYTES))
            for row in rows
        )

    def _padded(self, token_hash: str, digest: bytes) -> bytes:
        """There and back."""
        pad = hmac.digest(self._key, f"mark {token_hash}".encode(), "sha256")
        both = int.from_bytes(digest, "big") ^ int.from_bytes(pad, "big")
        return both.to_bytes(DIGEST_BYTES, "big")

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
            valid_from_ms=row.valid_from_ms,
            whitelist=_whitelist(row),
            as_of_ms=row.as_of_ms or 0,
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
            whitelist=_whitelist(row),
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
                "whitelist": token.whitelist.value if token.whitelist else None,
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

    # --- words against a driver token ---

    def revoked(self, token_hash: str) -> Revocation | None:
        query = select(_revoked).where(_revoked.c.token_hash == token_hash)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Revocation(
            status=TokenStatus(row.status), said_at_ms=row.said_at_ms, known=row.known
        )

    def revoke(self, token_hash: str, word: Revocation, entries_max: int) -> None:
        """In place of an earlier one. Whom the site ever knew stays known."""
        with self._engine.begin() as connection:
            here = _revoked.c.token_hash == token_hash
            was_known = connection.execute(select(_revoked.c.known).where(here)).scalar()
            gone = connection.execute(delete(_revoked).where(here)).rowcount
            values = {
                "token_hash": token_hash,
                "status": word.status.value,
                "said_at_ms": word.said_at_ms,
                "known": word.known or bool(was_known),
            }
            connection.execute(insert(_revoked).values(values))
            count = self._revoked_count + 1 - gone
            count -= self._drop_least(connection, count - entries_max)
        self._revoked_count = count

    def clear(self, token_hash: str) -> None:
        """Accepted since."""
        with self._engine.begin() as connection:
            here = _revoked.c.token_hash == token_hash
            gone = connection.execute(delete(_revoked).where(here)).rowcount
        self._revoked_count -= gone

    def _drop_least(self, connection: Connection, excess: int) -> int:
        """Strangers first: whoever holds many cards must not be able to push a real revocation out."""
        if excess <= 0:
            return 0
        order = (_revoked.c.known, _revoked.c.said_at_ms)
        least = select(_revoked.c.token_hash).order_by(*order).limit(excess)
        return connection.execute(delete(_revoked).where(_revoked.c.token_hash.in_(least))).rowcount

    def _drop_oldest(self, connection: Connection, excess: int) -> int:
        if excess <= 0:
            return 0
        oldest = select(_cached.c.token_hash).order_by(_cached.c.answered_at_ms).limit(excess)
        return connection.execute(delete(_cached).where(_cached.c.token_hash.in_(oldest))).rowcount


def _whitelist(row: Any) -> Whitelist | None:
    return Whitelist(row.whitelist) if row.whitelist else None


def _add_columns(connection: Connection) -> None:
    """A store of an earlier version has fewer: a site must not lose its list when it is updated while cut off."""
    for table in metadata.sorted_tables:
        have = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in have:
                kind = column.type.compile(connection.dialect)
                connection.execute(
                    text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
                )
