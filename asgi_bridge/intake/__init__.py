"""The request's side towards the server: who owns `receive`, and whom its messages go to."""

from .intake import Intake as Intake
from .state import SCOPE_KEY as SCOPE_KEY
