"""A server that tells its address before it listens, and does not end when it is told to."""

import os
import signal
import socket
import time

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        os.write(1, b"soon on 127.0.0.1:%d\n" % listener.getsockname()[1])
        time.sleep(0.1)
        listener.listen()
        time.sleep(30)
