#!/bin/sh
# Runs in the folder of this file. Your own certificate and key, in PEM:
: "${CERT:=your-certificate.pem}" "${KEY:=your-key.pem}"
cd "$(dirname "$0")" || exit 1

curl --silent --show-error --include --cacert chain.pem --cert "$CERT" --key "$KEY"@connect_to \
  @whoami
