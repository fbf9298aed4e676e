"""Downloads over a line that breaks, from a server of our own."""

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pooch
import pytest
import requests

from delrec_kit.data.sources.grouplens import MIRROR, ML_100K, download, resuming
from delrec_kit.settings.errors import KitError

CONTENT = np.random.default_rng(0).bytes(300_000)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def server():
    """Answers with at most ``server.most`` bytes of CONTENT a call, and notes which ranges were asked for."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            self.server.asked.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
            if start >= len(CONTENT):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start : start + self.server.most])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.asked, server.most, server.ranges = [], len(CONTENT), True
    server.url = f"http://127.0.0.1:{server.server_port}/file.zip"
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def fetched(server, folder):
    path = pooch.retrieve(server.url, DIGEST, fname="file.zip", path=folder, downloader=resuming)
    with open(path, "rb") as file:
        assert file.read() == CONTENT
    assert [p.name for p in folder.iterdir()] == ["file.zip"], "no part is left"


def test_a_line_that_breaks_is_taken_up_where_it_broke(server, tmp_path):
    server.most = 100_000
    fetched(server, tmp_path)
    assert server.asked[0] is None and len(server.asked) > 2
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.asked[1:]]
    assert starts == sorted(set(starts)) and starts[0] > 50_000, "most of what had come is kept"


def test_a_later_call_takes_up_what_an_earlier_one_left(server, tmp_path):
    (tmp_path / ".file.zip.part").write_bytes(CONTENT[:250_000])
    fetched(server, tmp_path)
    assert server.asked == ["bytes=250000-"]


@pytest.mark.parametrize("part", [CONTENT[:9], b"x" * 300_000, b"x" * 400_000])
def test_a_server_without_ranges_or_a_part_too_long_starts_anew(part, server, tmp_path):
    server.ranges = len(part) > 9
    (tmp_path / ".file.zip.part").write_bytes(part)
    fetched(server, tmp_path)


def test_a_part_of_another_file_fails_the_check_and_is_gone(server, tmp_path):
    (tmp_path / ".file.zip.part").write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match="hash"):
        fetched(server, tmp_path)
    fetched(server, tmp_path)


def test_no_progress_ends_after_three_tries(server, tmp_path):
    server.most = 0
    with pytest.raises(requests.RequestException):
        resuming(server.url, str(tmp_path / "file.zip"))
    assert len(server.asked) == 3


def test_mirrors_come_first_and_must_be_https(tmp_path, monkeypatch, capsys):
    asked = []

    def fail(url, *args, **kwargs):
        asked.append(url)
        raise ConnectionError("gone")

    monkeypatch.setattr(pooch, "retrieve", fail)
    monkeypatch.setenv(MIRROR, "https://mirror.example/films/")
    with pytest.raises(KitError, match=r"mirror\.example.*grouplens.*by hand.*data\.data_dir.*DELREC_KIT_MIRROR"):
        download(ML_100K, tmp_path)
    assert asked == ["https://mirror.example/films/ml-100k.zip", ML_100K.urls[1]]
    assert "do not pass it on" in capsys.readouterr().out
    monkeypatch.setenv(MIRROR, "https://me:hush@mirror.example/films")
    with pytest.raises(KitError, match=r"holds a name or password") as told:
        download(ML_100K, tmp_path)
    assert "hush" not in str(told.value)
    monkeypatch.setenv(MIRROR, "http://mirror.example")
    with pytest.raises(KitError, match="is no https address"):
        download(ML_100K, tmp_path)
