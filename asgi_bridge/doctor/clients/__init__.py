"""Clients that write and read when a check says so: HTTP/1.1 on bare sockets, HTTP/2, HTTP/3."""
