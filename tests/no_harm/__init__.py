"""An application behind the bridge is never worse off than without it: real servers, both ways.

Every application here runs in one process three times: without the bridge, with the bridge inside
(`app.add_middleware(BridgeMiddleware)`) and with the bridge around (`BridgeMiddleware(app)`). The
same client does the same to each, and each has to show the same: notes of the application, lines
in the server's log, bytes of the response. The tests of the form `without` say what is true on the
server alone, so that nobody has to believe it; they are run by `make matrix`.
"""
