"""A certificate for localhost, made for one run."""

from dataclasses import dataclass
from pathlib import Path


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


def make_certificate(directory: Path) -> Certificate:
    """Write a certificate, its key and its authority into a directory. Needs `trustme`."""
    import trustme

    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    made = Certificate(directory / "chain.pem", directory / "key.pem", directory / "ca.pem")
    server.private_key_pem.write_to_path(made.key)
    made.chain.write_bytes(b"".join(each.bytes() for each in server.cert_chain_pems))
    authority.cert_pem.write_to_path(made.authority)
    return made
