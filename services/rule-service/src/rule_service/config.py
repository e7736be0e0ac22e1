"""Configuration of the rule-service, both scopes. What is decided is no configuration: that is in the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from holdfast import subjects
from holdfast.contracts.life import PUBLIC_KEY
from holdfast.settings import ConfigError, ServiceConfig


class Config(ServiceConfig):
    # scope site
    rules_file: Path | None = None
    """First signed bundle, as provisioned: JSON of `SignedRules`. Used until the site has a newer one."""
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
    trusted_rule_keys: tuple[str, ...] = ()
    """Public Ed25519 keys, hex. Site: bundles signed by one of these are taken, while no bundle names others. Cloud:
    bundles signed elsewhere by one of these are passed on."""
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


def trusted_keys(config: Config) -> frozenset[str]:
    """Lower case. Raise ConfigError."""
    keys = frozenset(key.lower() for key in config.trusted_rule_keys)
    for key in keys:
        if not PUBLIC_KEY.match(key):
            raise ConfigError(
                f"trusted_rule_keys: {key[:20]!r} is no Ed25519 key of 32 bytes as hex"
            )
    return keys
