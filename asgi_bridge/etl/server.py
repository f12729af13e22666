"""ETLServer: what a transformer derives from."""

from ..types import ASGIApp, Receive, Scope, Send


class ETLServer:
    """A server of AIStore's ETL protocol around one blocking transform."""

    def __init__(self, host: str = "0.0.0.0", port: int = 8000) -> None:
        self.host = host
        self.port = port

    @property
    def app(self) -> ASGIApp:
        """The ASGI application."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"Running", "more_body": False})


FastAPIServer = ETLServer
