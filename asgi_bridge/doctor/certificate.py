"""A certificate for localhost, made for one run."""

import ssl
from dataclasses import dataclass
from pathlib import Path

# What a protocol of HTTP is called in the handshake. HTTP/3 has its own.
ALPN = {"h1": "http/1.1", "h2": "h2"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where its files are.

    Attributes:
        chain: the server's certificate.
        key: the server's private key.
        authority: who signed it; what a client has to trust.
    """

    chain: Path
    key: Path
    authority: Path

    def trusted(self, protocol: str) -> ssl.SSLContext:
        """What a client connects with that speaks one protocol of HTTP only."""
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols([ALPN[protocol]])
        return context


def make_certificate(directory: Path) -> Certificate:
    """Write a certificate, its key and its authority into a directory. Needs `trustme`."""
    import trustme
    from cryptography.hazmat.primitives import serialization  # what trustme is made of

    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    made = Certificate(directory / "chain.pem", directory / "key.pem", directory / "ca.pem")
    key = serialization.load_pem_private_key(server.private_key_pem.bytes(), None)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,  # Granian takes no other
            serialization.NoEncryption(),
        )
    )
    made.chain.write_bytes(b"".join(each.bytes() for each in server.cert_chain_pems))
    authority.cert_pem.write_to_path(made.authority)
    return made
