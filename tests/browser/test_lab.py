"""Every notebook opened in JupyterLab in a real browser and run there from top to bottom, over a finished run.

``DELREC_KIT_RUN_DIR`` names the run; ``make test-browser`` takes runs/demo. ``DELREC_KIT_SCREENSHOTS`` names a folder
for pictures of what was seen.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

BROWSER = os.environ.get("DELREC_KIT_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
if not BROWSER:
    pytest.skip("no browser; install chromium, or name one in DELREC_KIT_BROWSER", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install -e '.[browser]' lifts this")
RUN = os.environ.get("DELREC_KIT_RUN_DIR")
if not RUN or not (Path(RUN) / "interpretation").is_dir():
    pytest.skip("no finished run; make demo, then make test-browser lifts this", allow_module_level=True)

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
QUIET = {"windowingMode": "none", "kernelShutdown": True}  # cells out of sight are there too


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address and folder of a JupyterLab that has the notebooks, ``runs/demo`` and a sweep ``runs/seeds`` of it."""
    place = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", place / "notebooks")
    shutil.copytree(RUN, place / "runs/demo")
    (place / "runs/seeds").mkdir()
    (place / "runs/seeds/seed=0").symlink_to(place / "runs/demo")
    profile = json.loads((place / "runs/demo/config.json").read_text())["profile"]
    first = place / "notebooks" / NOTEBOOKS[0]
    first.write_text(first.read_text().replace('profile = \\"demo\\"', f'profile = \\"{profile}\\"'))
    settings = place / "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(QUIET))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    homes = {f"JUPYTER_{kind}_DIR": str(place / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    homes |= {
        "JUPYTERLAB_SETTINGS_DIR": str(place / "settings"),
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    words = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=t"]
    log = (place / "lab.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *words], cwd=place, env={**os.environ, **homes}, stdout=log, stderr=log
    )
    try:
        for _ in range(120):
            try:
                urlopen(f"http://127.0.0.1:{port}/api?token=t", timeout=5)
                break
            except OSError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks", place
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.fixture(scope="module")
def page(lab):
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_from_top_to_bottom(lab, page, name):
    address, place = lab
    file = place / "notebooks" / name
    page.goto(f"{address}/{name}?token=t&reset", timeout=120_000)
    cells = len([cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"])
    prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent)"
    page.wait_for_function(f"() => {prompts}.length == {cells}", timeout=120_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first.wait_for(timeout=120_000)
    for _ in range(12):  # a notebook whose kernel has just come lets the first click fall through
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        with contextlib.suppress(sync_api.TimeoutError):
            page.wait_for_function(f"() => {prompts}.some(text => /[*\\d]/.test(text))", timeout=10_000)
            break
        page.keyboard.press("Escape")
    done = f"{prompts}.every(text => /\\d/.test(text))"
    broken = "document.querySelector('[data-mime-type=\"application/vnd.jupyter.error\"]')"
    page.wait_for_function(f"() => {broken} || ({done})", timeout=500_000)
    if folder := os.environ.get("DELREC_KIT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"lab_{Path(name).stem}.png")
    page.keyboard.press("Control+S")
    for _ in range(60):
        code = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
        if all(cell["execution_count"] for cell in code):
            break
        time.sleep(0.5)
    assert all(cell["execution_count"] for cell in code)
    errors = [out for cell in code for out in cell["outputs"] if out["output_type"] == "error"]
    assert not errors, errors[0]["evalue"]
    shown = {kind for cell in code for out in cell["outputs"] for kind in out.get("data", {})}
    assert "image/png" in shown
    if name.startswith("05c"):
        assert page.locator(".delrec-view, .delrec-prompt").count() >= 2, "the prompt to touch, and the panel"
