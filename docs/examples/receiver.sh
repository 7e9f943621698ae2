#!/bin/sh
# A backend for mtlsd: stores each document once, and answers only when it is on disk. receiver.sh DIRECTORY
# It reads one request from stdin and answers on stdout: run it by a systemd socket with Accept=yes, or by inetd.
set -eu
cd "$1"

answer() {  # STATUS WORDS; mtlsd logs the words unless the status is 2xx
    rm -f "$temporary"
    printf 'HTTP/1.1 %s\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "$1" "${#2}" "$2"
    exit 0
}

store() {  # the name can begin with a hyphen
    sync "$temporary" && mv "$temporary" "./$key" && sync .
}

length=0 key='' digest='' temporary='' return=$(printf '\r')
IFS= read -r request
while IFS= read -r line && line=${line%"$return"} && [ -n "$line" ]; do
    name=$(printf %s "${line%%:*}" | tr '[:upper:]' '[:lower:]') value=${line#*: }
    case $name in
        content-length) length=$value ;;
        idempotency-key) key=$value ;;
        content-digest) digest=$value ;;
    esac
done
case $request in POST\ *) ;; *) answer '405 Method Not Allowed' 'only POST is served' ;; esac
case $key in '' | *[!A-Za-z0-9_-]*) answer '400 Bad Request' 'no Idempotency-Key' ;; esac

temporary=$(mktemp .document.XXXXXX)
trap 'rm -f "$temporary"' EXIT
head -c "$length" >"$temporary"
found="sha-256=:$(openssl dgst -sha256 -binary "$temporary" | openssl base64 -A):"
[ "$found" = "$digest" ] || answer '503 Service Unavailable' 'the body does not have the digest in Content-Digest'
[ -e "./$key" ] || store || answer '503 Service Unavailable' 'the document cannot be stored'
answer '204 No Content' ''
