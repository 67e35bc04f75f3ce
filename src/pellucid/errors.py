"""The one exception that Pellucid raises for what a person can mend, and the hint at the nearest name."""

import difflib
from collections.abc import Iterable


class PellucidError(Exception):
    """Bad input: the message is one line that names the file, the item and the remedy."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: ``; did you mean 'a', 'b'?``, or nothing where no known name is close."""
    by_lower = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if not matches and len(name) >= 3:
        matches = [k for k in by_lower if name.lower() in k][:3]
    if not matches:
        return ""
    return "; did you mean " + " or ".join(f"'{by_lower[m]}'" for m in matches) + "?"
