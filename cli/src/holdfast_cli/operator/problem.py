"""How a verb ends otherwise than well, and the exit code that says so to a script."""

from __future__ import annotations

DONE = 0
NO = 1
"""The answer is no: not taken, ended otherwise than hoped for, decisions that differ."""
CANNOT = 2
"""It could not be asked: wrong words, no connection, no access, nothing of that name, a service away."""
UNCERTAIN = 3
"""No answer in time: it may or may not have been taken. Where an id is named, the same again is harmless."""

EXIT_CODES = f"""exit codes:
  {DONE}  done
  {NO}  the answer is no: it was not taken, ended otherwise, or decisions differ
  {CANNOT}  it could not be asked: wrong words, no connection, no access, nothing of that name, a service away
  {UNCERTAIN}  no answer in time: it may or may not have been taken"""


class OperatorError(Exception):
    """What, which, what now."""

    def __init__(self, sentence: str, code: int = CANNOT, *, is_missing: bool = False) -> None:
        super().__init__(sentence)
        self.code = code
        self.is_missing = is_missing
        """What was asked about is not there."""
