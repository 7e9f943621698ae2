#!/bin/sh
# Runs in the folder of this file. Your own certificate and key, in PEM:
: "${CERT:=your-certificate.pem}" "${KEY:=your-key.pem}"
cd "$(dirname "$0")" || exit 1

openssl s_client -connect @address -servername @host \
  -CAfile chain.pem -partial_chain -verify_hostname @host -verify_return_error \
  -cert "$CERT" -key "$KEY" -brief </dev/null
