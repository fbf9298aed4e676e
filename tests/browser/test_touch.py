"""The page that one can touch, in a real browser: hovered, tapped, keyed, narrow, dark, saved. ``make test-browser``.

``DELREC_KIT_BROWSER`` names the chromium to use, where it is not on the path. ``DELREC_KIT_SCREENSHOTS`` names a folder
to look at afterwards.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from delrec_kit.interpret import EFFECT, Page, Side, Span
from delrec_kit.interpret.view import sources, view_data

BROWSER = os.environ.get("DELREC_KIT_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
if not BROWSER:
    pytest.skip("no browser; install chromium, or name one in DELREC_KIT_BROWSER", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install -e '.[browser]' lifts this")

EVIL = "Evil </script><img src=x onerror=document.title='evil'> (1999)"
TITLES = ["Alien Harvest (1979)", "A Title That Is Quite Long and Does Not Fit Into One Line of a Phone (1985)", EVIL]
CANDIDATES = ["Red Moon (1980)", EVIL, "Blue Moon (1981)"]
SIZES = [(1200, "light"), (1200, "dark"), (360, "light"), (360, "dark")]


def made(name, soft):
    """A side whose numbers tell who looks at whom: random, but the first title looks at the second, .9, in layer 2."""
    pieces = [("history", n) for n in range(3)] + [("soft", n) for n in range(soft)]
    pieces += [("candidates", n) for n in range(3)] + [("rest", 0)]
    n, rng = len(pieces), np.random.default_rng(soft)
    share = lambda *shape: (rows := rng.random(shape)) / rows.sum(-1, keepdims=True)  # noqa: E731
    attention = share(2, 2, n, n)
    attention[1, :, 0] = np.eye(n)[1] * 0.9 + 0.1 / n
    texts = [*TITLES, *(f"P{n + 1}" for n in range(soft)), *CANDIDATES]
    spans = [
        ("This person watched:", n - 1),
        *((text, at) for at, text in enumerate(texts)),
        ("What comes next?", n - 1),
    ]
    answers = [
        (title, chance, rank, title == EVIL) for title, chance, rank in zip(CANDIDATES, (0.5, 0.3, 0.2), (2, 1, 3))
    ]
    effect = rng.normal(size=(3, n))
    effect[0, 2] = -2.5
    return Side(
        name, spans, pieces, answers, 0, attention, share(2, 2, 3, n), share(n, n), share(3, n), effect,
        rng.normal(size=n), 0.01,
    )  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    sides = [made("DELRec", 2), made("LLM, fine-tuned", 0)]
    ranking = pd.DataFrame({"candidate": CANDIDATES, "answer": [False, True, False], "chance, DELRec": [0.5, 0.3, 0.2]})
    spans = [Span(text, "history", 0, {EFFECT: 0.5}) for text in TITLES]
    page = Page(f"User {EVIL}", [("first", EVIL)], ranking, spans, EFFECT, [], view_data(sides, "User 7"))
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page.html(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, file, request):
    """visit(width, scheme): the page, opened; it may complain of nothing and fetch nothing."""
    complaints = []

    def opened(width=1200, scheme="light", scripts=True):
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            has_touch=width < 500,
            java_script_enabled=scripts,
        )
        request.addfinalizer(context.close)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: complaints.append(asked.url) if asked.url[:5] not in ("file:", "data:", "blob:") else None,
        )
        page.goto(file.as_uri())
        return page

    yield opened
    assert complaints == []


def shot(page, name):
    if folder := os.environ.get("DELREC_KIT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def piece(page, key, side=0):
    return page.locator(f".delrec-view .side >> nth={side}").locator(f".touch[data-key='{key}']")


def share(locator):
    return float(locator.evaluate("one => getComputedStyle(one).getPropertyValue('--share')"))


def first_row(page, side=0, place=0):
    return (
        page.locator(f".delrec-view .side >> nth={side}")
        .locator(".lists > div")
        .nth(place)
        .locator("li")
        .first.inner_text()
    )


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_it_opens_without_scrolling_sideways_and_can_be_read(visit, width, scheme):
    page = visit(width, scheme)
    shot(page, f"{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title().startswith("User Evil </script>")
    boxes = [page.locator(".side").nth(side).bounding_box() for side in (0, 1)]
    assert (boxes[0]["y"] == boxes[1]["y"]) == (width > 1000), "side by side where there is room"
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 40 and min(contrasts) >= 4.5, "WCAG 2, AA"


CONTRASTS = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => part(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = numbers(getComputedStyle(document.body).backgroundColor);
  const page = light(ground.length === 4 && ground[3] === 0 ? [255, 255, 255] : ground);
  const shown = [...document.querySelectorAll("h1, h2, h3, h4, p, li span, td, .touch")];
  return shown.filter((one) => one.offsetParent).map((one) => {
    const text = light(numbers(getComputedStyle(one).color));
    return (Math.max(text, page) + 0.05) / (Math.min(text, page) + 0.05);
  });
}"""


def test_hovering_shows_who_looks_at_whom_on_both_sides_and_moves_nothing(visit):
    page = visit()
    page.get_by_label("layer").select_option("1")
    before = [piece(page, f"candidates:{n}").bounding_box() for n in range(3)]
    piece(page, "history:0").hover()
    assert "A Title That Is Quite Long" in first_row(page) and "91." in first_row(page)
    assert share(piece(page, "history:1")) == 1 and share(piece(page, "history:2")) < 0.1
    assert share(piece(page, "history:1", side=1)) == 1, "the same piece of the other prompt"
    looked = page.locator(".lists > div").nth(1).inner_text()
    assert "is looked at by" in looked
    assert [piece(page, f"candidates:{n}").bounding_box() for n in range(3)] == before
    shot(page, "hovered")
    page.get_by_label("shade").select_option("from")
    piece(page, "history:1").hover()
    assert share(piece(page, "history:0")) == 1, "who looks at it"
    piece(page, "soft:1").hover()
    assert "not in this prompt" in page.locator(".side").nth(1).inner_text()


def test_a_click_holds_and_escape_lets_go(visit):
    page = visit()
    piece(page, "history:0").click()
    page.mouse.move(5, 5)
    assert piece(page, "history:0").get_attribute("aria-pressed") == "true"
    assert page.get_by_role("button", name="let go").is_visible()
    page.keyboard.press("Escape")
    assert piece(page, "history:0").get_attribute("aria-pressed") == "false"
    assert piece(page, "answer:0").evaluate("one => one.classList.contains('on')"), "back to the first choice"


def test_the_keyboard_reaches_everything(visit):
    page = visit()
    piece(page, "history:0").focus()
    reached = []
    for _ in range(10):
        reached.append(page.evaluate("document.activeElement.dataset.key"))
        page.keyboard.press("ArrowRight")
    assert reached[:6] == ["history:0", "history:1", "history:2", "soft:0", "soft:1", "candidates:0"]
    assert reached[8] == "answer:0", "the answers follow the prompt"
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert piece(page, "history:0").get_attribute("aria-pressed") == "true"
    assert "looks at" in page.locator("[aria-live]").inner_text()
    assert "title 3 back: Alien Harvest (1979), " in piece(page, "history:0").get_attribute("aria-label")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.key").startswith("answer:")
    focusable = page.locator(".delrec-view .side >> nth=0").locator("[tabindex='0']")
    assert focusable.count() == 1, "one stop for the tabulator, the arrows do the rest"


def test_a_tap_holds_on_a_phone(visit):
    page = visit(360)
    piece(page, "history:1").tap()
    assert piece(page, "history:1").get_attribute("aria-pressed") == "true"
    shot(page, "tapped")
    page.get_by_role("button", name="let go").tap()
    assert piece(page, "history:1").get_attribute("aria-pressed") == "false"


def test_other_explanations_speak_of_candidates(visit):
    page = visit()
    page.get_by_label("show").select_option("effect")
    assert page.get_by_label("layer").is_disabled() and page.get_by_label("shade").is_disabled()
    assert "-2.50" in first_row(page) and "Evil </script>" in first_row(page)
    assert piece(page, "history:2").evaluate("one => one.classList.contains('against')")
    piece(page, "history:2").hover()
    assert "by how many nats" in page.locator(".side").first.inner_text()
    assert "-2.50" in page.locator(".side").first.locator("ol").first.inner_text()
    shot(page, "effect")
    page.mouse.move(5, 5)
    piece(page, "answer:1").click()
    held = page.locator(".side").first.locator(".lists").inner_text()
    piece(page, "answer:2").hover()
    rather = page.locator(".side").first.locator(".lists").inner_text()
    assert "rather than Blue Moon (1981)" in rather and "rather than" not in held
    effect = made("DELRec", 2).effect
    difference = effect[1] - effect[2]
    assert f"{difference[np.abs(difference).argmax()]:+.2f}" in rather
    page.keyboard.press("Escape")
    page.mouse.move(5, 5)
    for method in ("gradients", "rollout"):
        page.get_by_label("show").select_option(method)
        assert page.locator(".lists li").count() > 3
    page.get_by_label("show").select_option("gradients")
    piece(page, "answer:2").hover()
    assert "first choice alone" in page.locator(".side").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_saves_a_picture(visit, tmp_path, scheme):
    page = visit(1200, scheme)
    piece(page, "history:0").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="save as PNG").click()
    path = tmp_path / "prompt.png"
    download.value.save_as(path)
    import matplotlib.pyplot as plt

    picture = plt.imread(path)[..., :3]
    assert picture.shape[1] > 2000 and picture.std() > 0.05
    assert (picture[2, 2].mean() < 0.3) == (scheme == "dark")
    if folder := os.environ.get("DELREC_KIT_SCREENSHOTS"):
        shutil.copy(path, Path(folder) / f"saved-{scheme}.png")


def test_without_scripts_the_prompt_still_stands_there(visit):
    page = visit(scripts=False)
    assert "Alien Harvest (1979)" in page.locator(".delrec-prompt").inner_text()


WIDGET = """async ([source, data]) => {
  const { default: widget } = await import("data:text/javascript;charset=utf-8," + encodeURIComponent(source));
  const listens = {};
  window.sent = [];
  const model = {
    get: () => data,
    on: (event, act) => (listens[event] = act),
    send: (told) => (window.sent.push(told), listens["msg:custom"]({ page: "<p>saved</p>" })),
  };
  widget.render({ model, el: document.querySelector("#cell") });
  window.again = (other) => ((data = other), listens["change:data"]());
}"""


@pytest.mark.parametrize("ground", ["#111", "#fff"])
def test_in_a_notebook_it_takes_the_notebooks_theme_and_asks_python_for_the_page(browser, ground):
    page = browser.new_page(color_scheme="light" if ground == "#111" else "dark")  # of the system: the other one
    page.set_content(f"<style>{sources()[1]}</style><body style='background: {ground}'><div id='cell'></div></body>")
    data = view_data([made("DELRec", 2)], "User 7")
    page.evaluate(WIDGET, [sources()[0], json.dumps(data)])
    theme = page.locator(".delrec-view.dark, .delrec-view.light")
    theme.wait_for()
    assert ("dark" in theme.get_attribute("class")) == (ground == "#111")
    with page.expect_download() as download:
        page.get_by_role("button", name="save as page").click()
    assert Path(download.value.path()).read_text() == "<p>saved</p>" and page.evaluate("sent") == [{"want": "page"}]
    data["sides"][0]["name"] = "another"
    page.evaluate("(other) => again(other)", json.dumps(data))
    assert page.locator("h3").inner_text() == "another"
    page.close()
