"""Blocks sockets to anything but this machine: Python imports it at start when its folder is on
PYTHONPATH, in the tests' own process and in those that they start."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

_connect, _connect_ex, _sendto = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.socket.sendto,
)
_getaddrinfo = socket.getaddrinfo


class Blocked(OSError):
    """An attempt to reach another machine."""


def _refuse(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
        local = address.is_loopback or _is_own(name, address.version)
    except ValueError:
        local = name in ("localhost", socket.gethostname())
    if not local:
        raise Blocked(f"the tests run offline, but something asked for {name}")


def _is_own(name: str, version: int) -> bool:
    """Whether an address is one of this machine, such as that under which engines run here."""
    with socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6) as probe:
        try:
            probe.bind((name, 0))
        except OSError:
            return False
    return True


def _checked(address: Any) -> Any:
    if isinstance(address, tuple):  # a path is a socket of this machine
        _refuse(address[0])
    return address


def _block() -> None:
    def connect(self: socket.socket, address: Any) -> None:
        _connect(self, _checked(address))

    def connect_ex(self: socket.socket, address: Any) -> int:
        return _connect_ex(self, _checked(address))

    def sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        _checked(rest[-1])
        return _sendto(self, data, *rest)

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        _refuse(host)
        return _getaddrinfo(host, *rest, **options)

    for replaced in (connect, connect_ex, sendto):
        setattr(socket.socket, replaced.__name__, replaced)
    socket.getaddrinfo = getaddrinfo


_block()
