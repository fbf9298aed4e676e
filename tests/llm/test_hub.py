"""A hub that does not answer is known in seconds, and what lies in the local cache loads all the same."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import delrec_kit
from delrec_kit.llm import check_reachable, hub, load_llm, minilm
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def silent():
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@contextmanager
def serving(status):
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["silent", "refused"])
def test_no_answer_is_said_within_three_seconds(kind, request, monkeypatch, toy_llm_folder):
    check_reachable(LlmConfig(name=str(toy_llm_folder)))  # transformers imports much at its first use
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", request.getfixturevalue(kind))
    for ask in (check_reachable, lambda config: load_llm(config, "cpu")):
        started = time.perf_counter()
        with pytest.raises(
            KitError, match="no connection to the hub, and not all of it is in the local cache"
        ) as error:
            ask(LlmConfig(name="nobody/never-made"))
        assert time.perf_counter() - started < 3 and "\n" not in str(error.value)


def test_a_name_that_is_looked_up_in_vain_takes_no_longer(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(20) or [])
    started = time.perf_counter()
    assert not hub.answers()
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize("status, reachable", [(200, True), (302, True), (404, True), (401, True), (503, False)])
def test_any_answer_of_its_own_will_do(status, reachable, monkeypatch):
    with serving(status) as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        assert hub.answers() is reachable
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert not hub.answers()


def test_a_proxy_is_asked_where_there_is_one(monkeypatch, refused):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://hub.invalid")
    with serving(200) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert hub.answers()
        monkeypatch.setenv("no_proxy", "hub.invalid")
        assert not hub.answers()
        monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", refused)
    assert not hub.answers()


def test_minilm_does_not_wait_for_the_hub_either(monkeypatch, silent):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", silent)
    monkeypatch.setattr(minilm, "_cached", lambda: None)
    monkeypatch.setattr(minilm, "_packaged", lambda: None)
    started = time.perf_counter()
    with pytest.raises(KitError, match="the hub cannot be reached"):
        minilm.minilm_folder()
    assert time.perf_counter() - started < 3


def test_what_is_in_the_cache_loads_without_the_hub(toy_llm_folder, tmp_path, silent):
    """In a process of its own, since the hub's client reads its settings when it is imported."""
    cached, commit = tmp_path / "hub" / "models--nobody--cached", "0123456789" * 4
    shutil.copytree(toy_llm_folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    code = (
        "import time; from delrec_kit.llm import load_llm, words_of; from delrec_kit.settings.config import LlmConfig\n"
        "config, started = LlmConfig(name='nobody/cached', quantization='fp32'), time.perf_counter()\n"
        "words_of(config); llm = load_llm(config, 'cpu')\n"
        "print(llm.d, llm.identity['revision'], time.perf_counter() - started)"
    )
    environment = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    environment |= {
        "HF_HOME": str(tmp_path),
        "HF_ENDPOINT": silent,
        "PYTHONPATH": str(Path(delrec_kit.__file__).parents[1]),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    d, revision, seconds = done.stdout.split()[-3:]
    assert (d, revision) == ("64", commit) and float(seconds) < 20
