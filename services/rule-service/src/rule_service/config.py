"""Configuration of the rule-service, both scopes. What is decided is no configuration: that is in the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from holdfast import subjects
from holdfast.settings import ServiceConfig


class Config(ServiceConfig):
    # scope site
    rules_file: Path | None = None
    """First signed bundle, as provisioned: JSON of `SignedRules`. Used until the site has a newer one."""
    trusted_rule_keys: tuple[str, ...] = ()
    """Public Ed25519 keys, hex: only bundles signed by one of these are taken."""
    token_hash_key_file: Path | None = None
    """Secret of the site, 16 bytes of text at least: driver tokens are kept and journaled as keyed hashes only."""
    csms_at_site: bool = False
    """A csms-bridge runs at this site: it is asked about driver tokens, not the cloud."""
    # scope cloud
    rules_key_file: Path | None = None
    """Private Ed25519 key that signs bundles: PEM (PKCS 8), or 32 bytes as hex."""
    sites: tuple[str, ...] = ()
    """Sites served; for another, publishing and commands are refused. Empty: any."""
    csms_sites: tuple[str, ...] = ()
    """Sites with a CSMS behind them: for these it answers about driver tokens, through the csms-bridge."""
    # both
    driver_tokens_file: Path | None = None
    """JSON of `DriverTokenList`. Site: its first local list. Cloud: the registry that answers all sites without
    a CSMS."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for site in self.csms_sites:
            subjects.check_site(site)
        if self.scope == "cloud":
            if not self.rules_key_file:
                raise ValueError("scope cloud needs `rules_key_file`")
        elif not (
            self.site and self.rules_file and self.trusted_rule_keys and self.token_hash_key_file
        ):
            raise ValueError(
                "scope site needs `site`, `rules_file`, `trusted_rule_keys` and `token_hash_key_file`"
            )
        return self
