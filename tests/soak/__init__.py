"""Mixed traffic with faults for as long as you like: `python -m tests.soak --seconds 60`."""
