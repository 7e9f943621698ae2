"""The limits for reading one file, with everything packed into it: all parts share one allowance."""

from mtlsd.pki.certificate import CertificateUnreadable

MAX_UNPACKED = 8 * 1024 * 1024  # bytes unpacked from archives, e-mails and base64, in total
MAX_PARTS = 500  # members of archives, parts of e-mails, texts in JSON
MAX_DEPTH = 4  # levels of nested containers
MAX_ITERATIONS = 2_000_000  # of the key derivations of PKCS#12: about a second
MAX_CERTIFICATES = 500
MAX_KEYS = 20


class Allowance:
    """Counts down; every method raises CertificateUnreadable if the allowance is used up."""

    def __init__(self) -> None:
        self._octets = MAX_UNPACKED
        self._parts = MAX_PARTS
        self._iterations = MAX_ITERATIONS
        self._certificates = MAX_CERTIFICATES
        self._keys = MAX_KEYS

    @property
    def octets(self) -> int:
        """How many more bytes may be unpacked."""
        return self._octets

    def unpack(self, octets: int) -> None:
        """Count one more part, of this many bytes."""
        self._octets -= octets
        self._parts -= 1
        if self._octets < 0:
            raise CertificateUnreadable(
                f"an archive or e-mail with more than {MAX_UNPACKED} bytes inside: unpack it yourself"
            )
        if self._parts < 0:
            raise CertificateUnreadable(f"an archive or e-mail with more than {MAX_PARTS} parts: unpack it yourself")

    def derive(self, iterations: int) -> None:
        """Count a key derivation of this many iterations."""
        self._iterations -= max(iterations, 0)
        if self._iterations < 0:
            raise CertificateUnreadable(
                f"a PKCS#12 file that requires more than {MAX_ITERATIONS} iterations: export it again with fewer"
            )

    def certificate(self) -> None:
        """Count one more certificate."""
        self._certificates -= 1
        if self._certificates < 0:
            raise CertificateUnreadable(f"more than {MAX_CERTIFICATES} certificates in one file")

    def key(self) -> None:
        """Count one more private key."""
        self._keys -= 1
        if self._keys < 0:
            raise CertificateUnreadable(f"more than {MAX_KEYS} private keys in one file")
