# The test's side of a scripted exchange.
#
# Rule 1: time and order are the test's. Nothing sleeps, and no wait outlasts the timeout.
# Rule 2: every wait for the app also ends when the app does, and then says how it ended.
# Rule 3: the app's exception comes out once, as itself: from the first wait that it makes
#         pointless, else from the end of the `async with` block, else from nowhere if the test has
#         taken it with wait_closed().
# Rule 4: the order of the app's messages is recorded, not judged. Nor does send() raise after a
#         disconnect by itself: no server was seen to do it. fail_send() is for that.
"""Exchange: one HTTP request to an ASGI app, in memory, with the test in the client's place."""

from collections.abc import Iterable
from math import inf
from types import TracebackType
from typing import Self, Unpack

import anyio.lowlevel

from ..types import ASGIApp, Message, Scope
from .expecting import Expecting
from .messages import DISCONNECT, ScopeOptions, Scripted, request, scope_for
from .task import Outcome


class Exchange(Expecting):
    """One request to an ASGI app, with the test as its client and server.

    Use it once: `await exchange.run()`, or `async with exchange:` to run the app in a task beside
    the test. Leaving the block waits for the app to end; leaving it with an exception cancels the
    app instead. An app that will not be cancelled keeps the block from being left.

    Each `expect_...` takes what it returns, so the next one goes on after it; the properties show
    everything that was sent, taken or not. All that wait (`expect_...`, `until_...`,
    `wait_closed`, and the end of the block) raise AssertionError when the time is up, and when the
    app has ended without it. If the app has ended with an exception, they raise that one, as
    itself; once raised it counts as seen, and the end of the block does not raise it again.

    Args:
        app: any ASGI app.
        scope: the app's scope, copied; made of the options if None.
        receive: what the app's receive() delivers first: messages, exceptions that it raises,
            and DISCONNECT. After them it blocks until the response is complete or the app has
            ended, and then says `http.disconnect` for ever, as servers do.
        timeout: longest wait in seconds for anything that the test awaits, None for no limit.
        max_receives: calls of receive() that may wait at once; one more is a RuntimeError.
        **options: as for `scope_for`.

    Attributes:
        scope: what the app is called with; change it freely before the app is started.
        timeout: as above; may be changed at any time.

    Raises:
        TypeError: both a scope and options were given.
        ValueError: the script goes on after DISCONNECT.

    Threads: the event loop's only.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope | None = None,
        *,
        receive: Iterable[Scripted] = (),
        timeout: float | None = 5.0,
        max_receives: int = 1,
        **options: Unpack[ScopeOptions],
    ) -> None:
        if scope is not None and options:
            raise TypeError(f"a whole scope and parts of one were given: {', '.join(options)}")
        super().__init__(receive, max_receives, timeout)
        self.scope: Scope = scope_for(**options) if scope is None else dict(scope)
        self._app = app

    # The app's task.

    async def run(self) -> list[Message]:
        """Run the app to its end; an empty script stands for an empty request body.

        Returns:
            Every message that the app sent.

        Raises:
            AssertionError: the app did not end within the timeout.
        """
        if not self._receiving.script:
            self._receiving.add(request())
        async with self:
            pass
        return self.sent

    async def __aenter__(self) -> Self:
        await self._task.start(self._call_app)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is None:
                await self._until("the end of the app", self._has_ended)
        except BaseException as late:
            exc = late
            raise
        finally:
            await self._task.aclose()
            untaken = self._task.take_exception()
            if untaken is not None and exc is not None:
                exc.add_note(f"the app raised {untaken!r}")
        if untaken is not None and exc is None:
            raise untaken

    async def wait_closed(self) -> Outcome:
        """Wait for the app to end, and take its exception: the block will not raise it.

        Returns:
            How it ended.

        Raises:
            AssertionError: it did not within the timeout.
        """
        await self._until("the end of the app", self._has_ended)
        self._task.take_exception()
        return self.outcome

    def cancel(self) -> None:
        """Cancel the app's task, as a server does that shuts down; nothing if it is not running."""
        self._task.cancel()

    # The client's request.

    async def send_chunk(self, chunk: bytes) -> None:
        """Send one request body chunk, with more to come. Does not wait for the app to take it.

        Raises:
            ValueError: the client has left.
        """
        await self.send_message(request(chunk, more_body=True))

    async def end_body(self, chunk: bytes = b"") -> None:
        """Send the last request body chunk.

        Raises:
            ValueError: the client has left.
        """
        await self.send_message(request(chunk))

    async def send_message(self, message: Message) -> None:
        """Send the app any message at all.

        Raises:
            ValueError: the client has left.
        """
        self._receiving.add(message)
        await anyio.lowlevel.checkpoint()

    def disconnect(self) -> None:
        """Leave: after what was sent before, receive() says `http.disconnect` for ever.

        A parked send() goes on, as in servers; `stall_send` right after this keeps it parked.

        Raises:
            ValueError: the client has left already.
        """
        self._receiving.add(DISCONNECT)
        self._sending.set_room(inf)

    # What the server does to the app.

    def fail_receive(self, error: Exception) -> None:
        """Raise an error from the app's pending receive(), or else from its next one. Once."""
        self._receiving.fail(error)

    def fail_send(self, error: Exception, *, after: int = 0) -> None:
        """Raise an error from send(), parked or not, now and ever after.

        Args:
            error: what to raise.
            after: how many messages of the whole exchange may be sent before.
        """
        self._sending.fail(error, after)

    def stall_send(self) -> None:
        """Stop taking messages, like a client that does not read: send() parks."""
        self._sending.set_room(0)

    def resume_send(self, messages: int | None = None) -> None:
        """Take messages again.

        Args:
            messages: how many until send() parks again, None for all.
        """
        self._sending.set_room(inf if messages is None else messages)

    # Inside.

    async def _call_app(self) -> None:
        await self._app(self.scope, self._receiving.receive, self._sending.send)
