"""The page, and what a browser is told to forbid it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

__all__ = ["page_headers", "read_page"]

_FILE = Path(__file__).parent / "assets" / "serve" / "page.html"


def read_page() -> bytes:
    """The page, UTF-8."""
    return _FILE.read_bytes()


def page_headers(page: bytes) -> dict[str, str]:
    """The headers that go with a page which holds all that it needs, in one script and one style.

    Its script and its style are let in by their hashes: nothing that somebody manages to write into the page runs.
    """
    # The way to this server is all that it may take; its icon is in it, and pictures need no element of their own.
    policy = {
        "default-src": "'none'",
        "script-src": _hash_of(page, b"script"),
        "style-src": _hash_of(page, b"style"),
        "connect-src": "'self'",
        "img-src": "data:",
        "media-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _hash_of(page: bytes, element: bytes) -> str:
    found: list[bytes] = re.findall(rb"<%b>(.*?)</%b>" % (element, element), page, re.DOTALL)
    assert len(found) == 1, "the page has one script and one style"
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[0]).digest()).decode()}'"
