"""A pod as its author starts it: `python -m tests.etl.blackbox.launched`."""

from .transforms import Buffered

if __name__ == "__main__":
    Buffered(host="127.0.0.1", port=0).start()
