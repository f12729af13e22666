"""Tests of the decisions of an exchange: no loop, no threads, nothing to wait for."""
