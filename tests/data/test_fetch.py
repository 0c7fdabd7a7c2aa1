"""Fetching a data set: from this machine only, whole and checked or not at all."""

import hashlib
import http.server
import json
import threading

import numpy as np
import pytest

from pendula._errors import ConfigError, DataError
from pendula.cli import main
from pendula.data import fetch, load, named, open_data


CSV = b"t,q [m]\n0,1\n1,0.5\n2,0.25\n"
HASH = hashlib.sha256(CSV).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `swing.csv`, cuts `short.csv` off, knows nothing else."""

    asked: list[str] = []  # noqa: RUF012 - one server a module

    def do_GET(self):
        self.asked.append(self.path)
        if self.path not in ("/swing.csv", "/short.csv", "/more/swing.csv"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CSV)))
        self.end_headers()
        self.wfile.write(CSV[:10] if self.path == "/short.csv" else CSV)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENDULA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(cache):
    return sorted(p.name for p in cache.rglob("*") if p.is_file())


def test_a_fetched_set_is_opened_by_its_name_with_its_licence(server, cache):
    told = []
    path = fetch(
        f"{server}/swing.csv",
        sha256=HASH.upper(),
        licence=" CC0 ",
        tell=lambda have, whole: told.append((have, whole)),
    )
    assert path.read_bytes() == CSV
    assert told == [(len(CSV), len(CSV))]
    assert files(cache) == ["source.json", "swing.csv"]
    for opened in (open_data("swing"), load("swing")):
        np.testing.assert_array_equal(opened.ys[0, :, 0], [1, 0.5, 0.25])
        assert opened.licence == "CC0"
        assert opened.origin["citation"] == f"{server}/swing.csv"
    row = next(row for row in named() if row["name"] == "swing")
    assert (row["present"], row["licence"]) == (True, "CC0")


def test_what_is_here_is_not_fetched_again_and_what_is_damaged_is(server):
    where = {"url": f"{server}/swing.csv", "sha256": HASH}
    path = fetch(**where, licence="CC0")
    Handler.asked.clear()
    assert fetch(**where, licence="MIT") == path
    assert Handler.asked == []
    assert load("swing").licence == "MIT"
    path.write_bytes(b"t,q\n")
    fetch(**where, licence="MIT")
    assert Handler.asked == ["/swing.csv"]
    assert path.read_bytes() == CSV


@pytest.mark.parametrize(
    ("file", "sha256", "words"),
    [
        ("swing.csv", "0" * 64, "expected 0000"),
        ("short.csv", HASH, f"10 bytes of {len(CSV)}|connection broke"),
        ("absent.csv", HASH, "the server answers 404"),
    ],
)
def test_nothing_is_kept_of_another_or_half_a_file(server, cache, file, sha256, words):
    with pytest.raises(DataError, match=words):
        fetch(f"{server}/{file}", sha256=sha256, licence="CC0")
    assert files(cache) == []


def test_no_server_is_said():
    with pytest.raises(DataError, match="the server cannot be reached"):
        fetch("http://127.0.0.1:9/a.csv", sha256=HASH, licence="CC0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "file:///etc/a.csv"}, "is not an address"),
        ({"url": "swing.csv"}, "is not an address"),
        ({"url": "http://127.0.0.1:9/a.zip"}, "of no kind that is read"),
        ({"url": "http://127.0.0.1:9/"}, "of no kind that is read"),
        ({"url": "http://127.0.0.1:9/%2e%2e%2f.csv"}, "no kind|no safe name"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"licence": " "}, "--licence is empty"),
        ({"name": "../up"}, "cannot name a fetched set"),
        ({"name": "multiarm_pendulum/single"}, "cannot name a fetched set"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_asked(cache, change, words):
    good = {"url": "http://127.0.0.1:9/a.csv", "sha256": HASH, "licence": "CC0"}
    with pytest.raises(ConfigError, match=words):
        fetch(**{**good, **change})
    assert not cache.exists()


def test_one_name_stands_for_one_file(server):
    fetch(f"{server}/swing.csv", sha256=HASH, licence="CC0")
    with pytest.raises(ConfigError, match="is here already"):
        fetch(f"{server}/more/swing.csv", sha256="0" * 64, licence="CC0")
    with pytest.raises(DataError, match='Did you mean "swing"'):
        open_data("swin")


def test_through_the_program(server, capsys):
    command = ["data", "fetch", f"{server}/swing.csv", "--sha256", HASH]
    assert main([*command, "--licence", "CC0", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "swing"
    assert main(["inspect", "swing", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["licence"] == "CC0"
    assert main(["data", "list"]) == 0
    assert "swing" in capsys.readouterr().out
    assert main([*command[:3], "--sha256", "0" * 64, "--licence", "CC0"]) == 2
    assert "is here already" in capsys.readouterr().err
    assert main(command) == 2
    assert "--licence" in capsys.readouterr().err
