"""fault_proxy: an HTTP proxy in front of the real S3 server that adds faults to the requests of a plan.

Clients use the proxy as their endpoint. The Host header is passed on unchanged, because it is part of the signature.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote, urlsplit

Fault = Literal[
    "slow_down",  # 503, S3's answer to too many requests
    "internal_error",  # 500
    "reset",  # the connection breaks before the answer
    "lost_answer",  # the server does the work, then the connection breaks
    "stall",  # no answer, and the connection stays open
    "reset_in_body",  # the connection breaks in the middle of the body
    "stall_in_body",  # the second half of the body never comes
    "truncated",  # the body ends half-way without an error, although the header promises more
    "shortened",  # the same, with a header that agrees
    "expired",  # 403 ExpiredToken
    "forbidden",  # 403 AccessDenied
]
ERRORS = {
    "slow_down": (503, "SlowDown", "Please reduce your request rate."),
    "internal_error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "expired": (403, "ExpiredToken", "The provided token has expired."),
    "forbidden": (403, "AccessDenied", "Access Denied"),
}
HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@dataclass(frozen=True)
class Request:
    """A request to the proxy."""

    method: str
    path: str
    """Decoded, with the bucket."""
    query: str
    number: int
    """Number among the requests with this method, path and query, from 1. A retry has the next number."""
    number_of_all: int


Plan = Callable[[Request], Fault | None]


@dataclass
class FaultProxy:
    """A running proxy: its plan of faults, and the faults so far. Safe to use from threads."""

    url: str
    server_port: int
    plan: Plan = lambda request: None
    sent: Counter[Fault] = field(default_factory=Counter)
    """Number of faults that clients really met, by kind."""
    closing: threading.Event = field(default_factory=threading.Event)
    _seen: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _all: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, plan: Plan) -> None:
        """Use this plan from now on, and restart the count of requests."""
        with self._lock:
            self.plan = plan
            self._seen.clear()
            self._all = 0

    def fault_of(self, method: str, target: str) -> Fault | None:
        """Count a request, and return its fault, if any."""
        parts = urlsplit(target)
        with self._lock:
            self._seen[method, parts.path, parts.query] += 1
            self._all += 1
            number = self._seen[method, parts.path, parts.query]
            fault = self.plan(Request(method, unquote(parts.path), parts.query, number, self._all))
            if fault:
                self.sent[fault] += 1
        return fault


@contextmanager
def running_proxy(server_port: int) -> Iterator[FaultProxy]:
    """Run a proxy in front of the server on a port of this machine."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), _Handler) as server:
        proxy = FaultProxy(f"http://127.0.0.1:{server.server_port}", server_port)
        server.proxy = proxy  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        proxy: FaultProxy = self.server.proxy  # type: ignore[attr-defined]
        sent_body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = proxy.fault_of(self.command, self.path)
        if fault in ERRORS:
            self._answer_with_error(*ERRORS[fault])
        elif fault == "reset":
            self._reset()
        elif fault == "stall":
            self._stall(proxy)
        else:
            status, headers, body = self._asked_of_server(proxy, sent_body)
            self._answer(proxy, fault, status, headers, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def _asked_of_server(self, proxy: FaultProxy, sent_body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.server_port, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(sent_body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(
        self, proxy: FaultProxy, fault: Fault | None, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        if fault == "lost_answer":
            self._reset()
            return
        half = body[: len(body) // 2]
        told = len(half) if fault == "shortened" else len(body)
        if self.command == "HEAD":
            told = int({name.lower(): value for name, value in headers}.get("content-length", 0))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(told))
        self.end_headers()
        self.wfile.write(half if fault else body)
        self.wfile.flush()
        if fault == "reset_in_body":
            self._reset()
        elif fault == "stall_in_body":
            self._stall(proxy)
        elif fault == "truncated":
            self.close_connection = True

    def _answer_with_error(self, status: int, code: str, message: str) -> None:
        body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _stall(self, proxy: FaultProxy) -> None:
        """Hold the connection until the client gives up or the proxy ends."""
        self.connection.settimeout(0.2)
        while not proxy.closing.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
        self.close_connection = True
