"""What a server does with and without the bridge: real processes, asked by clients over loopback.

`apps` are served twice, bare and inside a BridgeMiddleware; `checks` ask for them over `clients`
and say what a user would have seen; `rows` are the servers, `probe` runs them. Public through
`asgi-bridge doctor` only.
"""
