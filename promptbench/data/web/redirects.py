"""Where a server may redirect to: nowhere else, unless the user allows it, or to mirrors."""

from __future__ import annotations

import os
import urllib.parse
import urllib.request
from typing import Any

from promptbench.errors import RunError

_ALLOW = "PROMPTBENCH_REDIRECTS"
_PORTS = {"http": 80, "https": 443}


class RefusedDownload(RunError):
    """What a server does and must not; asking again would not help."""


class Within(urllib.request.HTTPRedirectHandler):
    """Follows redirects inside the place that the user has named, and to those allowed by name."""

    def http_error_302(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any
    ) -> Any:
        fp.close()  # urllib reads what comes with a redirect to its end, which it may lack
        place = headers.get("Location") or ""
        try:
            scheme = urllib.parse.urlsplit(urllib.parse.urljoin(req.full_url, place)).scheme
        except ValueError as error:
            raise RefusedDownload(
                f"{req.full_url} redirects to {place[:200]!r}: {error}"
            ) from error
        if scheme not in _PORTS:
            raise RefusedDownload(
                f"{req.full_url} redirects to {place[:200]}; only http and https are followed"
            )
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            elsewhere = _origin(newurl) != _origin(req.full_url) and not _is_allowed(newurl)
        except ValueError as error:
            raise RefusedDownload(
                f"{req.full_url} redirects to {newurl[:200]!r}: {error}"
            ) from error
        if elsewhere:
            netloc = urllib.parse.urlsplit(newurl).netloc
            raise RefusedDownload(
                f"{req.full_url} redirects to another place, {newurl[:200]}; if that is meant, use "
                f"that address, or allow the place: {_ALLOW}={netloc[:200]}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Anywhere(Within):
    """Follows redirects to any host, as hubs and mirrors keep their files elsewhere; never from
    https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise RefusedDownload(
                f"{req.full_url} redirects from https to {newurl[:200]}, where anybody on the way "
                "could change what comes"
            )
        return urllib.request.HTTPRedirectHandler.redirect_request(
            self, req, fp, code, msg, headers, newurl
        )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _is_allowed(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    allowed = {place.strip() for place in os.environ.get(_ALLOW, "").split(",")}
    return parts.scheme in _PORTS and bool({"any", parts.netloc} & allowed)
