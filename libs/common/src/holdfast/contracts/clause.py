"""What every part of a rule bundle is. Sections with a file of their own build on it; `rules.py` puts them together."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Clause(BaseModel):
    """A part of a bundle: unknown clauses refuse the whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")
