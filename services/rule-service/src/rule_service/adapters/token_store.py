"""Local list and answers of the cloud, in the service's own SQLite, under keyed hashes of the driver tokens.

The next list is made ready in a spare table, bit by bit, and takes over in one short transaction: readers see
the old one or the new one, and nobody who reads or keeps an answer ever waits for a whole list. Another hash key
makes everything here unreadable, so it is dropped and comes anew.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import sleep
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
from holdfast.contracts.driver_tokens import (
    TOKENS_MAX,
    DriverTokenChanges,
    DriverTokenList,
    ListedToken,
    TokenIdentity,
    TokenStatus,
    TokenType,
    Whitelist,
)
from holdfast.contracts.numbers import held_moment
from rule_service.domain.driver_tokens import keyed_hash
from rule_service.domain.token_lists import (
    DIGEST_BYTES,
    ListRefused,
    altered,
    entry_digest,
    list_hash,
    sum_of,
)

metadata = MetaData()


def _list_table(name: str) -> Table:
    return Table(
        name,
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


_listed, _spare = _list_table("listed_token"), _list_table("listed_token_spare")
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

BATCH = 250
"""Entries of one transaction: while it lasts, nobody else writes."""
PAUSE_S = 0.001
"""Between two of them, for whoever waits: neither SQLite's lock nor Python's goes round by itself."""


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
        self._one_writes = Lock()
        metadata.create_all(engine)
        with engine.begin() as connection:
            _add_columns(connection)
            known = connection.execute(select(_installed.c.key_check)).scalar()
            if known not in (None, self._key_check):
                for table in (_listed, _spare, _cached, _revoked, _installed):
                    connection.execute(delete(table))
            self._cached_count = connection.execute(
                select(func.count()).select_from(_cached)
            ).scalar_one()
            self._revoked_count = connection.execute(
                select(func.count()).select_from(_revoked)
            ).scalar_one()
        self.sweep()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction. Two threads may write: SQLite would let the later one poll, longer and longer."""
        with self._one_writes, self._engine.begin() as connection:
            yield connection

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

    def is_installed(self, offered: DriverTokenList | DriverTokenChanges) -> bool:
        """It is, or leads to, the very list in force."""
        result = offered.hash
        if isinstance(offered, DriverTokenList) and not result:
            result = list_hash(offered.tokens)
        before = self.installed()
        return (before.version, before.hash) == (offered.version, keyed_hash(self._key, result))

    def install(self, tokens: DriverTokenList) -> Installed:
        """In place of the one before. A token listed twice counts as it was listed last. Raise ListRefused."""
        return self.switch(self.prepare(tokens))

    def apply(self, changes: DriverTokenChanges) -> Installed:
        """All of them, or none: raise ListRefused when they do not lead to the list that they name."""
        return self.switch(self.prepare(changes))

    def prepare(self, offered: DriverTokenList | DriverTokenChanges) -> Installed:
        """The list that will stand once it is given to `switch`. May run in a thread, one at a time. Raise
        ListRefused; either way nothing has changed.
        """
        self.sweep()
        try:
            if isinstance(offered, DriverTokenList):
                entries, result = self._whole(offered)
            else:
                entries, result = self._changed(offered)
            if entries > TOKENS_MAX:
                raise ListRefused(f"{entries} driver tokens: {TOKENS_MAX} are the most on one list")
        except ListRefused:
            self.sweep()
            raise
        return Installed(offered.version, entries, keyed_hash(self._key, result))

    def switch(self, installed: Installed) -> Installed:
        """What was prepared takes the place of what stood, durably."""
        with self._writing() as connection:
            connection.execute(delete(_installed))
            row = {"key_check": self._key_check, **installed._asdict()}
            connection.execute(insert(_installed).values(row))
            for table, name in (
                (_listed.name, "listed_token_before"),
                (_spare.name, _listed.name),
                ("listed_token_before", _spare.name),
            ):
                connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))
        return installed

    def sweep(self) -> None:
        """Who is on no list any more does not stay on the disk."""
        with self._writing() as connection:
            connection.execute(delete(_spare))

    def _whole(self, tokens: DriverTokenList) -> tuple[int, str]:
        rows = {self._hash_of(token): token for token in tokens.tokens}
        result = sum_of(self._insert(rows, tokens.as_of_ms))
        if tokens.hash not in ("", result):
            raise ListRefused(altered(tokens))
        return len(rows), result

    def _changed(self, changes: DriverTokenChanges) -> tuple[int, str]:
        before = self.installed()
        if before.version != changes.base_version:
            raise ListRefused(
                f"version {changes.version} is changes to version {changes.base_version}, "
                f"and {before.version or 'none'} is installed"
            )
        self._copy()
        rows = {self._hash_of(token): token for token in changes.changed}
        gone = [self._hash_of(token) for token in changes.removed]
        self._delete([*gone, *rows])
        self._insert(rows, changes.as_of_ms)
        entries, result = self._sum()
        if result != changes.hash:
            raise ListRefused(
                f"the changes from version {before.version} to {changes.version} do not lead to the list "
                "that they name"
            )
        return entries, result

    def _copy(self) -> None:
        last: str | None = ""
        while last is not None:
            some = (
                select(_listed)
                .where(_listed.c.token_hash > last)
                .order_by(_listed.c.token_hash)
                .limit(BATCH)
            )
            with self._writing() as connection:
                connection.execute(insert(_spare).from_select(_listed.columns.keys(), some))
                reached = connection.execute(select(func.max(_spare.c.token_hash))).scalar()
            last = reached if reached != last else None
            sleep(PAUSE_S)

    def _delete(self, token_hashes: list[str]) -> None:
        for begin in range(0, len(token_hashes), BATCH):
            some = token_hashes[begin : begin + BATCH]
            with self._writing() as connection:
                connection.execute(delete(_spare).where(_spare.c.token_hash.in_(some)))
            sleep(PAUSE_S)

    def _insert(self, rows: dict[str, ListedToken], as_of_ms: int | None) -> list[bytes]:
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
            with self._writing() as connection:
                connection.execute(insert(_spare), values)
            sleep(PAUSE_S)
        return digests

    def _sum(self) -> tuple[int, str]:
        """Of all entries there: how many, and their hash. With one from before entries had marks it is no list's."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_spare.c.token_hash, _spare.c.mark)).all()
        return len(rows), sum_of(
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
            valid_until_ms=_held(row.valid_until_ms),
            valid_from_ms=_held(row.valid_from_ms),
            whitelist=_whitelist(row),
            as_of_ms=_held(row.as_of_ms or 0),
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
        with self._writing() as connection:
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
        with self._writing() as connection:
            gone = connection.execute(delete(_cached).where(_cached.c.token_hash == token_hash))
        self._cached_count -= gone.rowcount

    def forget_answers(self, until_ms: int) -> int:
        """Those given up to then (clock of the site); how many there were."""
        with self._writing() as connection:
            old = _cached.c.answered_at_ms <= until_ms
            gone = connection.execute(delete(_cached).where(old)).rowcount
        self._cached_count -= gone
        return gone

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
        with self._writing() as connection:
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
        with self._writing() as connection:
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


def _held(at_ms: int | None) -> int | None:
    """A list of an earlier version may have been installed with any number."""
    return None if at_ms is None else held_moment(at_ms)


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
