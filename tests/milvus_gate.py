"""A server between pymilvus and a Milvus that counts calls, and refuses some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

SECONDS = 60  # for one call

CODES = grpc.StatusCode
PASSED = ("dbname",)  # of the metadata


@dataclass
class Gate:
    """The address to connect to, and what the gate has seen.

    `refuse` says of each method what to answer in place of the server, None to let it pass.
    `lose` says of each answer of the server whether to lose it.
    """

    uri: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    refuse: Callable[[str], tuple[grpc.StatusCode, str] | None] = lambda method: None
    lose: Callable[[str], bool] = lambda method: False

    def deny(self, *methods: str) -> None:
        """Refuse these methods as Milvus does where a privilege is missing."""
        self.refuse = lambda method: (
            (CODES.PERMISSION_DENIED, f"Privilege{method}: permission deny to bob")
            if method in methods
            else None
        )


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, gate: Gate, channel: grpc.Channel) -> None:
        self._gate = gate
        self._channel = channel

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._gate.calls[method] += 1
            if refusal := self._gate.refuse(method):
                context.abort(*refusal)
            try:
                found: bytes = self._channel.unary_unary(details.method)(
                    request,
                    timeout=SECONDS,
                    metadata=[
                        pair
                        for pair in context.invocation_metadata()
                        if pair[0] in PASSED
                    ],
                )
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            if self._gate.lose(method):
                context.abort(CODES.UNAVAILABLE, "connection reset by peer")
            return found

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def gate_before(uri: str) -> Iterator[Gate]:
    """A gate before the Milvus at this address, which must not ask for a token."""
    gate = Gate()
    limits = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    server = grpc.server(ThreadPoolExecutor(8), options=limits)
    with grpc.insecure_channel(uri.removeprefix("http://"), options=limits) as channel:
        server.add_generic_rpc_handlers((_Handler(gate, channel),))
        gate.uri = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield gate
        finally:
            server.stop(None).wait()
