"""Where a chat API is and with which key: read from what the user gives, and safe to show."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from vispa.errors import InputError

# Local servers take any key, but the client insists on one.
_NO_KEY = "no-key-is-needed"


def key_of(variable: str) -> str:
    """The key that a variable of the environment holds; a stand-in where none is named.

    Raises:
        InputError: the variable is not set, or holds what no key can be.
    """
    if not variable:
        return _NO_KEY
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(variable, "is not set.", "Put the API's key in this environment variable.")
    # Such a key would end up in the message of the HTTP library's error.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(variable, "holds characters that no key has.", "Put the API's key, and nothing else, in it.")
    return key


def shown_place(address: str) -> str:
    """An address as it may be shown: without user, password and query.

    Raises:
        InputError: no http address.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise InputError("base_url", "is not an http address.", "Give one such as http://localhost:8000/v1.")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
