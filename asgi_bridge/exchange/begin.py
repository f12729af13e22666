# What is done before the start of a stream goes out, whoever answers.
#
# Rule 1: servers drop the 100 that a client waits for (Expect: 100-continue) once the response has
#         begun. So a success, whose author may yet read, has its body invited first. A refusal does
#         not want it.
# Rule 2: `duplex="half"` sends nothing of a stream before the client has sent all of its request.
# Rule 3: `duplex="auto"` does the same behind a proxy on HTTP/1, for as long as the request keeps
#         coming. nginx sends no more of a request to us once the head of our response has gone to
#         its client (1.31, ngx_http_upstream: seen with an echo of 50 MB, which stood still after 3
#         to 27 MB in every set-up). A request that pauses while output waits is that of a client
#         which reads each answer before it goes on; it gets its answer then.
"""Before a stream: the body is invited, and the start held while it comes, where that is wanted."""

from ..intake import Intake


async def before_stream(intake: Intake, status: int, *, patience: float | None) -> None:
    """See to it that a body which may yet be read can come, and hold the start while it has to.

    Args:
        intake: the request.
        status: of the response.
        patience: longest wait in seconds for the next bytes of a request that is waited for whole,
            None for no limit.

    Raises:
        ReadTimeout: nothing came in that time.
        SpoolFull: there is no room for the rest of the request.
        ClientDisconnected: the client went away.
        Exception: what the server's own `receive` raised.
    """
    if intake.framing.expects_continue:
        if status >= 300:
            return
        await intake.invite()
    match intake.limits.duplex:
        case "half":
            await intake.until_sent(patience)
        case "auto" if intake.behind_proxy:
            await intake.until_sent(None, or_paused=intake.limits.stall_timeout)
