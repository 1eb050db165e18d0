"""Ways to start a server that must not be, each refused before a model is loaded."""

from __future__ import annotations

from hostile.cases import Case, File, Out, refused
from hostile.files import Maker

SERVING: dict[str, Maker] = {
    "short-keys": b"# keys\nsecret\n",
    "spaced-keys": b"my very own secret key of words\n",
    "no-keys": b"# nothing but a remark\n\n",
    "wide-keys": "schlüssel-schlüssel-schlüssel\n".encode(),
}

_LONG = "k" * 24
# Where nothing listens.
_NOWHERE = "http://127.0.0.1:9"

SERVE: tuple[Case, ...] = (
    refused("serve", "--host", "0.0.0.0", say=("--host", "there is no key", "VISPA_API_KEYS")),
    refused("serve", "--selector", "mpnet", "--selector-model", "x", say="--selector-model"),
    refused("serve", "--host", "::", say=("--host", "there is no key")),
    refused("serve", "--host", "", "--port", "0", say=("--host",)),
    refused("serve", "--host", "no host\x1b[31m", say=("--host", r"\x1b[31m")),
    refused("serve", "--host", "h" * 300, say=("--host", "no name or address")),
    refused("serve", "--port", "65536", say="--port"),
    refused("serve", "--port", "-1", say="--port"),
    refused("serve", "--concurrency", "0", say="--concurrency"),
    refused("serve", "--max-tokens", "9999", say="--max-tokens"),
    refused("serve", "--request-seconds", "nan", say="--request-seconds"),
    refused("serve", "--drain-seconds", "-1", say="--drain-seconds"),
    *(
        refused("serve", "--cors-origin", origin, say=("--cors-origin", "https://"))
        for origin in (
            "*",
            "https://*.example",
            "example.org",
            "https://a.example/path",
            "null",
            "https://u:p@a.example",
        )
    ),
    refused("serve", "--keys-file", "nowhere.txt", say="nowhere.txt"),
    refused("serve", "--keys-file", File("short-keys"), say=("short-keys", "key 1 is no usable key")),
    refused("serve", "--keys-file", File("spaced-keys"), say=("spaced-keys", "key 1")),
    refused("serve", "--keys-file", File("wide-keys"), say=("wide-keys", "key 1")),
    refused("serve", "--keys-file", File("no-keys"), say=("no-keys", "holds no key")),
    refused("serve", environment={"VISPA_API_KEYS": f"{_LONG},short"}, say=("VISPA_API_KEYS", "key 2")),
    refused("serve", "--k", "3", say="No such option"),
    refused("serve", "--weights", '{"karma": -1}', say="karma"),
    refused("serve", "--recipe", "nowhere.toml", say="nowhere.toml"),
    refused("serve", "--api-timeout", "3", say=("--api-timeout", "has no effect")),
)

#: Commands that a server is to answer which is none.
REMOTE: tuple[Case, ...] = (
    *(
        refused("respond", "Feeding ducks", "--server", address, say=("--server", "http"))
        for address in ("", "localhost", "file:///etc/passwd", "http://[", "ftp://a.example", "\x1b[31m")
    ),
    *(
        refused("respond", "Feeding ducks", "--server", _NOWHERE, *more, say=(more[0], "has no effect with --server"))
        for more in (("--model", "embedded"), ("--taxonomy", "."), ("--selector", "nli"), ("--threads", "1"))
    ),
    refused("respond", "Feeding ducks", "--server", _NOWHERE, "--recipe", "nowhere.toml", say="nowhere.toml"),
    refused("respond", "Feeding ducks", "--server", _NOWHERE, "--temperature", "-1", say="temperature"),
    refused("respond", "Feeding ducks", "--server", _NOWHERE, "--toward", "x", say=("--toward", "no effect")),
    refused("respond", " ", "--server", _NOWHERE, say="text: is empty"),
    refused(
        "respond", "Feeding ducks", "--server", _NOWHERE, environment={"VISPA_API_KEY": "a b"}, say="VISPA_API_KEY"
    ),
    refused("respond", "Feeding ducks", "--server", _NOWHERE, code=1, say=("127.0.0.1:9", "cannot be reached")),
    refused("batch", File("lines.txt"), "-o", Out("o.jsonl"), "--server", _NOWHERE, code=1, say="cannot be reached"),
    refused("batch", File("lines.txt"), "-o", Out("o.jsonl"), "--server", "x", say="--server"),
)
