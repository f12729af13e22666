"""One HTTP exchange: a request and its response, between a server and whoever answers."""

from .of_application import AppExchange as AppExchange
from .of_function import HandlerExchange as HandlerExchange
