"""Clients that write first, on real servers: `http.client` and those built on it do."""

import http.client

import pytest

from .processes import LIMIT, Server

BLOCK = bytes(range(256)) * 4096
BLOCKS = 24  # 25 MB: servers and kernels hold some 10 of them


@pytest.mark.parametrize("path", ["/cured/", "/starlette_app/echo"])
def test_large_body_comes_back_whole(path: str, server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)
    connection.request("PUT", path, body=iter([BLOCK] * BLOCKS))  # it sends all of it, chunked
    response = connection.getresponse()
    assert response.status == 200
    for _ in range(BLOCKS):
        assert response.read(len(BLOCK)) == BLOCK
    assert response.read() == b""
    connection.close()
