"""Whole messages over a stream socket: the length in 8 bytes, then the bytes."""

from __future__ import annotations

import socket

_LENGTH_BYTES = 8


def send(connection: socket.socket, message: bytes) -> None:
    """Send a message."""
    connection.sendall(len(message).to_bytes(_LENGTH_BYTES, "little") + message)


def receive(connection: socket.socket) -> bytes | None:
    """Wait for a message and return it, or None when the other end has closed, be it in the middle of one."""
    length = _exactly(connection, _LENGTH_BYTES)
    return None if length is None else _exactly(connection, int.from_bytes(length, "little"))


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            return None
        data += chunk
    return bytes(data)
