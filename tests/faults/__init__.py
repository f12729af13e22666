"""Faults of clients and networks, caused on purpose, against real servers and in memory."""
