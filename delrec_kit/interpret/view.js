// A prompt that one can touch. One file for both: a page, whose numbers lie beside it as JSON, and a notebook (anywidget).
// Text of the data only ever becomes a text node.

const METHODS = [
  { key: "effect", name: "Leaving out", unit: "nats" },
  { key: "gradients", name: "Gradients", unit: "nats" },
  { key: "rollout", name: "Attention rollout", unit: "%" },
  { key: "attention", name: "Attention", unit: "%" },
];
const LONGEST = 8; // rows of a list
const MARKED = 0.15; // of the largest value: what is smaller bears no number in the prompt

/** An element with attributes and children; text is text. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const mean = (rows) => rows[0].map((_, at) => rows.reduce((sum, row) => sum + row[at], 0) / rows.length);
const column = (rows, at) => rows.map((row) => row[at]);

/** Rows of who looks (layers, heads, rows, n) at one layer and head, or at the mean over them; null where there is none. */
function looks(weights, { layer, head }) {
  const layers = layer === null ? weights : weights.slice(layer, layer + 1);
  const chosen = layers.flatMap((heads) => (head === null || heads.length === 1 ? heads : [heads[head]]));
  return chosen.length ? chosen[0].map((_, row) => mean(column(chosen, row))) : null;
}

/** Of one side under one method: by piece who looks at whom, and by candidate. */
function numbers(side, state) {
  if (state.method === "effect") return { among: null, answers: side.effect };
  if (state.method === "gradients")
    return { among: null, answers: side.answers.map((_, at) => (at === side.first ? side.gradients : null)) };
  const [among, answering] =
    state.method === "rollout"
      ? [side.rollout, side.rolloutAnswering]
      : [looks(side.attention, state), looks(side.answering, state)];
  const share = (rows) => rows && rows.map((row) => row.map((value) => value / 1000));
  const answers = share(answering);
  return { among: share(among), answers: side.answers.map((_, at) => answers && answers[Math.min(at, answers.length - 1)]) };
}

/** What stands in the lists and in the shades while ``key`` is touched. to: by piece; from: who, how much. */
function touched(side, { among, answers }, key) {
  const answer = key.startsWith("answer:") ? Number(key.slice(7)) : null;
  if (answer !== null) return { to: answers[answer], from: null, answers: null };
  const at = side.pieces.findIndex((piece) => piece.key === key);
  const pieces = among && column(among, at);
  const asked = answers.map((row) => (row ? row[at] : null));
  return { to: among && among[at], from: pieces, answers: asked };
}

const written = (value, unit) => (unit === "%" ? `${(100 * value).toFixed(1)} %` : `${value > 0 ? "+" : ""}${value.toFixed(2)}`);

/** Draw ``data`` into ``host``. saves: names of more buttons, and what they do. */
export function show(host, data, saves = {}) {
  const state = { method: "attention", layer: null, head: null, from: false, held: null, over: null };
  const layers = Math.max(...data.sides.map((side) => Math.max(side.attention.length, side.answering.length)));
  const heads = Math.max(...data.sides.map((side) => side.attention[0].length));
  const choose = (name, options, set) => {
    const select = make("select", { onchange: () => (set(select.value), draw()) });
    for (const [value, text] of options) select.append(make("option", { value }, text));
    return [make("label", {}, name, select), select];
  };
  const numbered = (count) => [["", "mean"], ...Array.from({ length: count }, (_, at) => [at, `${at + 1} of ${count}`])];
  const number = (value) => (value === "" ? null : Number(value));
  const [how] = choose("show", METHODS.slice().reverse().map((one) => [one.key, one.name]), (value) => (state.method = value));
  const [layerLabel, layer] = choose("layer", numbered(layers), (value) => (state.layer = number(value)));
  const [headLabel, head] = choose("head", numbered(heads > 1 ? heads : 0), (value) => (state.head = number(value)));
  const [wayLabel, way] = choose("shade", [["to", "what it looks at"], ["from", "who looks at it"]], (value) => (state.from = value === "from"));
  const letGo = make("button", { type: "button", onclick: () => release() }, "let go");
  const bar = make("div", { class: "bar" }, how, layerLabel, headLabel, wayLabel, letGo);
  const saved = { "save as PNG": () => picture(host, data.title), ...saves };
  for (const [name, act] of Object.entries(saved)) bar.append(make("button", { type: "button", onclick: act }, name));
  const said = make("p", { class: "note" });
  const spoken = make("p", { class: "unseen", "aria-live": "polite" });
  const sides = data.sides.map((side) => drawSide(side));
  const help = "Hover, tap or move with the arrow keys; click or Enter holds; Escape lets go. Leaving out, with one candidate held and another touched: why the one rather than the other.";
  host.replaceChildren(
    bar,
    make("p", { class: "note help" }, help),
    make("div", { class: data.sides.length > 1 ? "sides two" : "sides" }, ...sides.map((side) => side.box)),
    said,
    spoken,
  );
  addEventListener("resize", () => sides.forEach((one) => (one.lists.style.minHeight = "")));
  host.onkeydown = (event) => event.key === "Escape" && release();

  function release() {
    state.held = state.over = null;
    draw();
  }

  /** The unchanging parts of a side; what is touched is a button among the words. */
  function drawSide(side) {
    const touches = [];
    const touch = (key, tag, text, name) => {
      const made = make(tag, {
        class: "touch", role: "button", tabindex: touches.length ? -1 : 0, "data-key": key,
        onpointerenter: (event) => event.pointerType === "mouse" && over(key),
        onpointerleave: (event) => event.pointerType === "mouse" && over(null),
        onfocus: () => over(key),
        onclick: () => hold(key),
        onkeydown: (event) => move(event, touches, made, key),
      }, text);
      touches.push(Object.assign(made, { key, name, words: text }));
      return made;
    };
    const prompt = make("p", { class: "prompt" });
    for (const [text, at] of side.spans) {
      const piece = side.pieces[at];
      const tag = piece.key === "rest:0" ? text : touch(piece.key, "span", text, `${piece.label}: ${text}`);
      prompt.append(tag, " ");
    }
    const order = side.answers.map((_, at) => at).sort((a, b) => side.answers[b].chance - side.answers[a].chance);
    const answers = make("ol");
    for (const at of order) {
      const answer = side.answers[at];
      const text = make("span", {}, touch(`answer:${at}`, "span", answer.title, `the answer ${answer.title}`));
      if (answer.next) text.append(" ← what came next");
      answers.append(make("li", { class: answer.next ? "row next" : "row" }, text, make("span", { class: "length" }, make("i")), make("span", { class: "number" })));
    }
    const lists = make("div", { class: "lists" }), bars = make("p", { class: "note line" });
    const heading = make("h4", {}, "The candidates as the answer");
    const box = make("section", { class: "side", "aria-label": side.name }, make("h3", {}, side.name), prompt, heading, bars, answers, lists);
    return { side, box, touches, lists, bars, answers, order, looked: {} };
  }

  function over(key) {
    state.over = key;
    draw();
  }

  function hold(key) {
    state.held = state.held === key ? null : key;
    state.over = null;
    draw();
  }

  function move(event, touches, made, key) {
    const at = touches.indexOf(made);
    const there = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: touches.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") hold(key);
    else if (there === undefined) return;
    else if (touches[there]) touches[there].focus();
    event.preventDefault();
  }

  function draw() {
    const method = METHODS.find((one) => one.key === state.method);
    const raw = state.method === "attention";
    for (const select of [layer, head]) select.disabled = !raw;
    way.disabled = method.unit !== "%";
    letGo.hidden = state.held === null;
    const missed = state.method === "gradients" ? data.sides.map((side) => side.missed) : [];
    said.textContent = [data.said[state.method], ...missed, ...data.sides.map((side) => side.note)].join(" ");
    const heard = sides.map((one) => drawTouched(one, method));
    spoken.textContent = state.over || state.held ? heard.join(" ") : "";
  }

  /** Shades, numbers and lists of a side; says in words what they show. */
  function drawTouched({ side, touches, lists, bars, answers, order, looked }, method) {
    const first = `answer:${side.first}`;
    const asked = state.over ?? state.held ?? first;
    const here = touches.some((one) => one.key === asked);
    const key = here ? asked : first;
    const all = (looked[`${state.method} ${state.layer} ${state.head}`] ??= numbers(side, state));
    const found = touched(side, all, key), words = (of) => touches.find((one) => one.key === of).words;
    const [held, other] = [state.held, key].map((one) => (one?.startsWith("answer:") ? Number(one.slice(7)) : null));
    const rather = method.key === "effect" && held !== null && other !== null && held !== other && words(state.held);
    if (rather) found.to = all.answers[held].map((value, at) => value - all.answers[other][at]);
    const name = rather ? `${rather} rather than ${words(key)}` : words(key);
    const shades = state.from && method.unit === "%" && found.from ? found.from : found.to;
    const tops = (values) => Math.max(1e-9, ...(values ?? []).map(Math.abs));
    const largest = tops(shades), most = tops(found.answers);
    for (const one of touches) {
      const at = side.pieces.findIndex((piece) => piece.key === one.key);
      const value = at < 0 ? null : shades?.[at];
      const share = value == null ? 0 : Math.abs(value) / largest;
      one.style.setProperty("--share", share.toFixed(3));
      one.classList.toggle("against", value < 0);
      one.classList.toggle("on", one.key === key);
      one.classList.toggle("held", one.key === state.held);
      one.tabIndex = one.key === key ? 0 : -1;
      one.setAttribute("aria-pressed", one.key === state.held);
      one.setAttribute("aria-label", value == null ? one.name : `${one.name}, ${written(value, method.unit)}`);
      const mark = at >= 0 && share >= MARKED ? (method.unit === "%" ? `${Math.round(100 * value)}%` : written(value, method.unit)) : "";
      one.replaceChildren(one.words, make("sup", { "aria-hidden": true }, make("span", {}, mark)));
    }
    const chances = found.answers === null;
    bars.textContent = chances ? "bars: chance" : method.unit === "%" ? `bars: how much it looks at ${name}` : `bars: by how many nats ${name} speaks for it`;
    order.forEach((at, place) => {
      const value = chances ? side.answers[at].chance : found.answers[at];
      const row = answers.children[place];
      fill(row, value, chances ? 1 : most, chances ? "%" : method.unit);
    });
    const speaks = method.unit === "%" ? `${key.startsWith("answer:") ? "As the answer, " : ""}${name} looks at` : `What speaks for ${name}, and against it`;
    const whole = side.pieces.map((piece) => ({ name: labelled(side, piece) + (piece.key === key ? ", itself" : ""), piece }));
    const to = listed(speaks, whole, found.to, method);
    const from = found.from && listed(`In the prompt, ${name} is looked at by`, whole, found.from, method);
    const absent = here ? null : make("p", { class: "note" }, "What you touch is not in this prompt; here is its first choice.");
    const none = found.to ? null : make("p", { class: "note" }, key.startsWith("answer:") ? "Gradients are taken for the first choice alone." : "The bars of the candidates say what it does for each.");
    lists.replaceChildren(...[absent, none, to, from].filter(Boolean));
    // a page that grows shorter scrolls, and what the pointer is on would move away from under it
    lists.style.minHeight = `${Math.max(parseFloat(lists.style.minHeight) || 0, lists.offsetHeight)}px`;
    const best = found.to && strongest(found.to)[0];
    return best === undefined || best === null ? `${side.name}: ${name}.` : `${side.name}: ${speaks} ${whole[best].name}, ${written(found.to[best], method.unit)}, most.`;
  }

  function labelled(side, piece) {
    const span = side.spans.find(([, at]) => side.pieces[at].key === piece.key);
    return piece.key === "rest:0" || piece.key.startsWith("soft:") || !span ? piece.label : `${span[0]} (${piece.label})`;
  }

  draw();
}

const strongest = (values) => values.map((_, at) => at).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));

function fill(row, value, most, unit) {
  const bar = row.querySelector("i");
  bar.style.width = `${value == null ? 0 : (100 * Math.abs(value)) / most}%`;
  bar.classList.toggle("against", value < 0);
  row.querySelector(".number").textContent = value == null ? "–" : written(value, unit);
}

function listed(heading, pieces, values, method) {
  if (!values) return null;
  const list = make("ol"), most = Math.max(1e-9, ...values.map(Math.abs));
  for (const at of strongest(values).slice(0, LONGEST)) {
    const row = make("li", { class: "row" }, make("span", {}, pieces[at].name), make("span", { class: "length" }, make("i")), make("span", { class: "number" }));
    fill(row, values[at], most, method.unit);
    list.append(row);
  }
  return make("div", {}, make("h4", {}, heading), list);
}

/** What is drawn now, as a PNG to keep: the element in an SVG, on a canvas. */
async function picture(host, title) {
  const copy = host.cloneNode(true);
  copy.querySelectorAll(".bar, .help, .unseen").forEach((part) => part.remove());
  const controls = [...host.querySelectorAll("select")].filter((one) => !one.disabled).map((one) => `${one.parentElement.firstChild.data} ${one.selectedOptions[0].text}`);
  copy.prepend(make("h3", {}, title), make("p", { class: "note" }, controls.join(", ")));
  const { width } = host.getBoundingClientRect();
  const ground = getComputedStyle(host).getPropertyValue("--ground").trim();
  copy.style.cssText = `box-sizing: border-box; padding: 16px; width: ${Math.ceil(width) + 32}px; background: ${ground}`;
  document.body.append(copy);
  const height = Math.ceil(copy.getBoundingClientRect().height);
  copy.remove();
  const space = "http://www.w3.org/2000/svg", scale = 2, wide = Math.ceil(width) + 32;
  const svg = document.createElementNS(space, "svg"), inside = document.createElementNS(space, "foreignObject");
  for (const [name, value] of [["width", wide], ["height", height]]) {
    svg.setAttribute(name, value);
    inside.setAttribute(name, value);
  }
  const sheets = [...document.styleSheets, ...(host.getRootNode().styleSheets ?? [])];
  const rules = sheets.flatMap((sheet) => { try { return [...sheet.cssRules]; } catch { return []; } });
  const sheet = [...new Set(rules.map((rule) => rule.cssText))].filter((text) => text.includes(".delrec-view")).join("\n");
  inside.append(make("style", {}, sheet), copy);
  svg.append(inside);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: wide * scale, height: height * scale });
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.drawImage(image, 0, 0);
  canvas.toBlob((blob) => keep(blob, "prompt.png"));
}

function keep(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Whether the ground that ``host`` stands on is dark: notebooks have themes of their own. */
function dark(host) {
  for (let at = host; at; at = at.parentElement ?? at.getRootNode().host) {
    const [red, green, blue, opaque = 1] = (getComputedStyle(at).backgroundColor.match(/[\d.]+/g) ?? []).map(Number);
    if (opaque > 0.5) return red * 0.3 + green * 0.6 + blue * 0.1 < 128;
  }
  return false;
}

/** What anywidget calls. */
function render({ model, el }) {
  const host = make("div", { class: "delrec-view" });
  el.append(host);
  const drawAgain = () => {
    const data = JSON.parse(model.get("data"));
    host.classList.add(dark(el) ? "dark" : "light");
    if (data.sides) show(host, data, { "save as page": () => model.send({ want: "page" }) });
  };
  model.on("change:data", drawAgain);
  model.on("msg:custom", (told) => told.page && keep(new Blob([told.page], { type: "text/html" }), "prompt.html"));
  setTimeout(drawAgain); // once it stands in the notebook, whose theme it takes
}

for (const data of document.querySelectorAll("script.delrec-view-data"))
  if (data.previousElementSibling?.matches(".delrec-view:empty")) show(data.previousElementSibling, JSON.parse(data.textContent));

export default { render };
