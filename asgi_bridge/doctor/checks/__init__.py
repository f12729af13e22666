"""What is asked of a server, one function for each question, and the table of all of them."""

from .table import CHECKS as CHECKS
from .table import Check as Check
