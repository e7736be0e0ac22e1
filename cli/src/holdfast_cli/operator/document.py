"""Files that people wrote, read with a sentence when they can't be."""

from __future__ import annotations

from pathlib import Path

from holdfast_cli.operator.problem import OperatorError

TEXT_BYTES_MAX = 1024 * 1024


def text_of(file: Path) -> str:
    """Raise OperatorError."""
    try:
        with file.open("rb") as opened:
            data = opened.read(TEXT_BYTES_MAX + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise OperatorError(f"{file} can't be read: {why}") from error
    if len(data) > TEXT_BYTES_MAX:
        raise OperatorError(f"{file} has over {TEXT_BYTES_MAX} bytes: that is no bundle or draft")
    return text
