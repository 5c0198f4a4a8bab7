"""The header Prefer: wait=N (RFC 7240): the client would rather wait for the finish than ask for it later."""

import re
from typing import Final

from api.bodies import Headers

#: A preference with its parameters: what stands between commas that are not in a quoted string; a string that never ends
#: reaches to the end. Possessive, so that no header makes it quadratic.
_PREFERENCE: Final = re.compile(r'(?:[^,"]++|"(?:[^"\\]++|\\.?)*+"?)++')
_SECONDS: Final = re.compile(r'([0-9]{1,9})|"([0-9]{1,9})"')


def preferred_wait_s(headers: Headers, limit_s: float) -> float:
    """Return the seconds that a client prefers to wait, limit_s at most; 0 without such a preference.

    Preferences that are malformed or not known are ignored, and of several `wait` the first one counts (RFC 7240, section
    2). More than the limit is the limit: `wait` is an upper bound (section 4.3), so to wait for less long is as asked.
    """
    for name, value in headers:
        if name != b"prefer":
            continue
        for preference in _PREFERENCE.findall(value.decode("latin-1")):
            token, _, rest = preference.partition(";")[0].partition("=")
            if token.strip().lower() == "wait":
                found = _SECONDS.fullmatch(rest.strip())
                return min(float(found[1] or found[2]), limit_s) if found else 0.0
    return 0.0


def applied(wait_s: float) -> str:
    """Return the value of Preference-Applied (RFC 7240, section 3)."""
    return f"wait={wait_s:.15g}"
