"""Which sites are served: a command to a site that nobody knows must not be accepted and wait for ever."""

from __future__ import annotations

from holdfast import subjects
from holdfast.contracts.envelope import ContractError


class Sites:
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(names)

    @property
    def names(self) -> frozenset[str]:
        """Empty: any."""
        return self._names

    def check(self, site: str) -> None:
        """Raise ContractError."""
        try:
            subjects.check_site(site)
        except subjects.SubjectError as error:
            raise ContractError(str(error)) from error
        if self._names and site not in self._names:
            raise ContractError(f"there is no site {site!r}: known are {sorted(self._names)}")
