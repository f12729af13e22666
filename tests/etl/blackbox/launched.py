"""A pod as its author starts it: `python -m tests.etl.blackbox.launched`, `thread` for a thread."""

import sys
import threading

from .transforms import Buffered

if __name__ == "__main__":
    server = Buffered(host="127.0.0.1", port=0)
    if "thread" in sys.argv:
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
    else:
        server.start()
