"""The cloud's own registry of driver tokens: one file for all sites, read again when it changes."""

from __future__ import annotations

import logging
from pathlib import Path

from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import ListedToken, TokenStatus, TokenType
from holdfast.contracts.envelope import ContractError
from holdfast.health import Health
from rule_service.adapters import files
from rule_service.domain.driver_tokens import same
from rule_service.domain.sources import status_now
from rule_service.domain.token_lists import Identity, distinct

log = logging.getLogger(__name__)

CONDITION = "driver tokens"


class Registry:
    def __init__(self, path: Path, health: Health) -> None:
        self._path = path
        self._health = health
        self._read_of: tuple[int, int] | None = None
        self._tokens: dict[Identity, ListedToken] | None = None

    def verdict(self, token_type: TokenType, driver_token: str, at_ms: int) -> CloudVerdict:
        """Raise ContractError while there is nothing to look in: the site then decides by itself."""
        self._read_when_changed()
        if self._tokens is None:
            raise ContractError(f"the registry {self._path.name} can't be read: ask again later")
        token = self._tokens.get((token_type, same(driver_token)))
        if token is None:
            return CloudVerdict(known=False, status=TokenStatus.INVALID)
        status = status_now(token, at_ms)
        group = self._tokens.get((TokenType.GROUP, same(token.parent))) if token.parent else None
        if group is not None and status is TokenStatus.ACCEPTED:
            status = status_now(group, at_ms)
        return CloudVerdict(
            known=True,
            status=status,
            parent=token.parent,
            valid_until_ms=token.valid_until_ms,
            whitelist=token.whitelist,
        )

    def _read_when_changed(self) -> None:
        """A file that can't be read now leaves what was read before."""
        try:
            found = self._path.stat()
            version = (found.st_mtime_ns, found.st_size)
            if version == self._read_of:
                return
            tokens = files.driver_token_list(self._path)
        except (OSError, ContractError) as error:
            self._health.wrong(CONDITION, f"{self._path}: {error}")
            return
        self._tokens = distinct(tokens.tokens)
        self._read_of = version
        self._health.ok(CONDITION)
        log.info("registry read", extra={"version": tokens.version, "count": len(tokens.tokens)})
