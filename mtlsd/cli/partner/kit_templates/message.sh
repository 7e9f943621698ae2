#!/bin/sh
# Runs in the folder of this file. Your own certificate and key, in PEM:
: "${CERT:=your-certificate.pem}" "${KEY:=your-key.pem}"
cd "$(dirname "$0")" || exit 1
# The certificate and key that sign your messages, if they differ from those for TLS; and a document.
: "${SIGN_CERT:=$CERT}" "${SIGN_KEY:=$KEY}" "${DOCUMENT:=test.edi}"
# The self-test delivers nothing. To send a real message:
# URL=@url
: "${URL:=@selftest}"
[ -e "$DOCUMENT" ] || printf "UNA:+.? '\r\n" >"$DOCUMENT"

(printf 'Content-Type: application/edifact\r\n\r\n' && cat "$DOCUMENT") >entity.txt
openssl cms -sign -binary -crlfeol -md sha256 -signer "$SIGN_CERT" -inkey "$SIGN_KEY" \
  -in entity.txt -outform SMIME -out signed.txt &&
openssl cms -encrypt -binary -aes256 -in signed.txt -outform DER -out message.p7m @encrypt_to &&
curl --silent --show-error --include --cacert chain.pem --cert "$CERT" --key "$KEY"@connect_to \
  --data-binary @@message.p7m --header "Message-ID: <$(date +%s).$$@@test>" \
@headers  "$URL"
