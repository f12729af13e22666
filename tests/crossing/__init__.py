"""Tests of the one place where worker threads and event loops meet."""
