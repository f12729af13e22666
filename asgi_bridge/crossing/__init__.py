"""The only place where a worker thread and an event loop meet."""
