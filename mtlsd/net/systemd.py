"""Reports the daemon's status to systemd (sd_notify(3)): ready, reloading, stopping, alive; only if systemd asks."""

import os
import socket
import time

import trio


def notify(*states: str) -> None:
    """Send `READY=1` and similar messages to the socket that $NOTIFY_SOCKET names."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall("\n".join(states).encode())


def ready(status: str) -> None:
    notify("READY=1", f"STATUS={status}")


def reloading() -> None:
    """Report that a reload begins; `ready` reports its end."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    notify("STOPPING=1")


async def watchdog() -> None:
    """Report that the loop runs, twice as often as systemd requires; returns at once if systemd requires no reports."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    while microseconds:
        notify("WATCHDOG=1")
        await trio.sleep(microseconds / 2e6)
