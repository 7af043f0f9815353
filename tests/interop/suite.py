"""What the Python suites share: a name for every test, and what was sent."""
import sys
import traceback
import uuid

BOOTSTRAP = sys.argv[1]
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]
HEADERS = [("trace", b"\x00\x01"), ("empty", b"")]


def fresh(name):
    """A topic or group name that no other run has used."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def records(codec):
    """Keys, values: with and without a key, empty, null, and one larger than a page."""
    mark = (codec or "none").encode()
    return [(b"k-" + mark, b"v-" + mark), (None, b"no key " + mark), (b"empty", b""), (b"null", None), (b"large", mark * 5000)]


def run(tests):
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok {test.__name__}", flush=True)
        except Exception as error:  # a test may fail in any way
            failed += 1
            traceback.print_exc()
            print(f"not ok {test.__name__}: {type(error).__name__}: {str(error)[:300]}".replace("\n", " "), flush=True)
    sys.exit(0 if failed == 0 else 1)


def equal(actual, expected):
    assert actual == expected, f"got {str(actual)[:200]}, expected {str(expected)[:200]}"
