"""The least that Python can do: mutual TLS by pyOpenSSL, HTTP by h11, sockets by trio; answers each request with 400.

python -m scripts.bench.bare PORT CHAIN KEY ROOT
"""

import sys
from contextlib import suppress
from functools import partial

import h11
import trio
from OpenSSL import SSL

PIECE = 64 * 1024


def main() -> None:
    port, chain, key, root = sys.argv[1:]
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(chain)
    context.use_privatekey_file(key)
    context.load_verify_locations(root)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    trio.run(partial(trio.serve_tcp, partial(serve, context), int(port), host="127.0.0.1"))


async def serve(context: SSL.Context, stream: trio.SocketStream) -> None:
    """Complete the handshake, read one request, answer, and close."""
    tls = SSL.Connection(context, None)
    tls.set_accept_state()
    http = h11.Connection(h11.SERVER)
    try:
        await _until_done(tls, stream, partial(_shaken, tls))
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await _until_done(tls, stream, partial(tls.recv, PIECE)))
        head = http.send(h11.Response(status_code=400, headers=[("Content-Length", "0"), ("Connection", "close")]))
        tls.send(head or b"")
        tls.shutdown()
        await stream.send_all(tls.bio_read(PIECE))
    except (SSL.Error, h11.RemoteProtocolError, trio.BrokenResourceError):
        pass
    finally:
        await stream.aclose()


def _shaken(tls: SSL.Connection) -> bytes:
    tls.do_handshake()
    return b""


async def _until_done(tls: SSL.Connection, stream: trio.SocketStream, step: partial[bytes]) -> bytes:
    while True:
        try:
            done = step()
        except SSL.WantReadError:
            done = None
        with suppress(SSL.WantReadError):  # there is nothing to send
            await stream.send_all(tls.bio_read(PIECE))
        if done is not None:
            return done
        tls.bio_write(await stream.receive_some(PIECE))


if __name__ == "__main__":
    main()
