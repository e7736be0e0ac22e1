"""Configuration of the mode-manager. How the uplink is judged is no configuration: that is in the rules."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from holdfast.settings import ServiceConfig


class Config(ServiceConfig):
    """Scope site only."""

    csms_at_site: bool = False
    """A csms-bridge runs at this site: it says how the CSMS is, not the cloud."""

    @model_validator(mode="after")
    def _at_a_site(self) -> Self:
        if self.scope != "site" or not self.site:
            raise ValueError("mode-manager runs at a site only: scope = 'site' and `site`")
        return self
