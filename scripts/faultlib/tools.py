"""Small helpers: waiting, running programs, printing."""

import datetime
import sys
import time


class Stopped(Exception):
    """The script cannot install a fault here. It says why."""


def wait_until(look, seconds, every=0.1):
    """Looks until the answer is true, and returns how long that took, or None when the time is over."""
    start = time.monotonic()
    while True:
        if look():
            return time.monotonic() - start
        if time.monotonic() - start > seconds:
            return None
        time.sleep(every)


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def shorten(text, length=220):
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
