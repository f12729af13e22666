"""The decisions of an exchange, without I/O: no event loop, no threads, no sockets."""
