"""What the environment of an ETL pod says, read once, when the server is made."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from .trust import Trust

DEFAULT_RETRIES: Final = 3
DEFAULT_SLICE_BYTES: Final = 1024 * 1024
DEFAULT_CONNECTIONS: Final = 256
DEFAULT_KEPT_CONNECTIONS: Final = 128
DEFAULT_KEEP_ALIVE: Final = 30.0

CONCURRENCY_VARIABLE: Final = "AIS_ETL_CONCURRENCY"

_TRUE: Final = frozenset({"1", "t", "true", "y", "yes", "on"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The environment, parsed.

    Attributes:
        target_url: where objects come from; its path ends with the ETL's secret.
        direct_put: `DIRECT_PUT`, for the transform's information.
        direct_fqn: a buffered transform gets the path of the file, not its content.
        retries: how often a delivery is tried again, for a source that can be read again.
        slice_bytes: the size of the writes of a delivery that is in memory.
        connections: most connections to other hosts at once.
        kept_connections: most of them that are kept for later.
        keep_alive: seconds that an idle one of them is kept.
        token: the bearer token, None for none.
        verify: whether to verify certificates; the path of a bundle to do it with.
        certificate: paths of our own certificate and its key, None for none.
        fqn_roots: directories that request-FQNs must be in; none for anywhere.
        trusted_hosts: host names, `*.suffixes` and address blocks that may see the token and the
            secret; none for the rule of `Trust`.
        concurrency: most buffered transforms at once, or streaming ones; None for what the class
            says.
        trust: who may see the token and the secret.
    """

    target_url: str
    direct_put: bool = False
    direct_fqn: bool = False
    retries: int = DEFAULT_RETRIES
    slice_bytes: int = DEFAULT_SLICE_BYTES
    connections: int = DEFAULT_CONNECTIONS
    kept_connections: int = DEFAULT_KEPT_CONNECTIONS
    keep_alive: float = DEFAULT_KEEP_ALIVE
    token: str | None = None
    verify: bool | str = True
    certificate: tuple[str, str] | None = None
    fqn_roots: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    concurrency: int | None = None
    trust: Trust = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trust", Trust(self.target_url, self.trusted_hosts))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables.

        Raises:
            EnvironmentError: AIS_TARGET_URL is not set.
            ValueError: a number is none, or an address block is none.
        """
        target_url = environ.get("AIS_TARGET_URL", "")
        if not target_url:
            raise OSError("the environment variable AIS_TARGET_URL must be set")
        verify, certificate = resolve_ssl_config(environ)
        slice_bytes = int(environ.get("AIS_DIRECT_PUT_CHUNK_SIZE", DEFAULT_SLICE_BYTES))
        concurrency = environ.get(CONCURRENCY_VARIABLE, "")
        return cls(
            target_url=target_url.rstrip("/"),
            direct_put=is_true(environ.get("DIRECT_PUT", environ.get("direct_put", ""))),
            direct_fqn=is_true(environ.get("ETL_DIRECT_FQN", "")),
            retries=max(0, int(environ.get("AIS_DIRECT_PUT_RETRIES", DEFAULT_RETRIES))),
            slice_bytes=slice_bytes if slice_bytes > 0 else DEFAULT_SLICE_BYTES,
            connections=int(environ.get("MAX_CONN", DEFAULT_CONNECTIONS)),
            kept_connections=int(environ.get("MAX_KEEPALIVE_CONN", DEFAULT_KEPT_CONNECTIONS)),
            keep_alive=float(environ.get("KEEPALIVE_EXPIRY", DEFAULT_KEEP_ALIVE)),
            token=environ.get("AIS_AUTHN_TOKEN") or None,
            verify=verify,
            certificate=certificate,
            fqn_roots=parts_of(environ.get("AIS_ETL_FQN_ROOTS", ""), ":"),
            trusted_hosts=parts_of(environ.get("AIS_ETL_TRUSTED_HOSTS", "").lower(), ","),
            concurrency=int(concurrency) if concurrency.strip() else None,
        )

    def ssl_context(self) -> ssl.SSLContext:
        """The context for outbound TLS.

        Raises:
            OSError: a file that the environment names cannot be read.
        """
        bundle = self.verify if isinstance(self.verify, str) else None
        context = ssl.create_default_context(cafile=bundle)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            context.load_cert_chain(*self.certificate)
        return context


def resolve_ssl_config(
    environ: Mapping[str, str],
) -> tuple[bool | str, tuple[str, str] | None]:
    """What to verify other hosts' certificates with, and what to show them."""
    skip = environ.get("AIS_SKIP_VERIFY_CRT", environ.get("AIS_SKIP_VERIFY", ""))
    bundle = environ.get("AIS_CLIENT_CA", "")
    certificate, key = environ.get("AIS_CRT"), environ.get("AIS_CRT_KEY")
    own = (certificate, key) if certificate and key else None
    if is_true(skip):
        return False, own
    return bundle or True, own


def is_true(text: str) -> bool:
    return text.strip().lower() in _TRUE


def parts_of(text: str, separator: str) -> tuple[str, ...]:
    return tuple(part for each in text.split(separator) if (part := each.strip()))
