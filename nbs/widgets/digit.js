// Draw a digit: the layer runs here. Which filters fire and where, what it is taken for, and what lies under a part that is hidden.
"use strict";
Moving.start("draw-a-digit", async still => {
  const [run, mu] = await Promise.all([Moving.json("digit.json"), Moving.floats("mnist_filters.bin")]);
  const layer = new Layer(run.shape, mu, run.log_weights, run.classes), S = layer.S, N = S * S, {make, grey} = Moving;
  const examples = run.examples.map(text => Float64Array.from(atob(text), c => c.charCodeAt(0) / 255));
  const image = new Float64Array(N), hidden = new Uint8Array(N), pen = {x: 14, y: 14};
  let hiding = false, next = 0, waiting = false;

  const pad = make("canvas", {width: 280, height: 280, tabIndex: 0, role: "application", className: "pad",
    "aria-label": "Drawing area of 28 by 28 pixels. Arrow keys move the pen, Space draws, Shift with arrows draws a line, Delete clears."});
  const belief = make("canvas", {className: "pixels", role: "img", "aria-label": "The image as the model believes it to be"});
  const mode = {draw: make("button", {type: "button", textContent: "Draw"}), hide: make("button", {type: "button", textContent: "Hide a part"})};
  const clear = make("button", {type: "button", textContent: "Clear"}), example = make("button", {type: "button", textContent: "Another digit"});
  const bars = run.classes.bias.map((_, c) => make("div", {className: "bar"}, make("b", {textContent: c}), make("i"), make("span")));
  const firing = [0, 1, 2, 3, 4, 5].map(() => ({filter: make("canvas", {className: "pixels", role: "img"}), where: make("canvas", {className: "pixels", role: "img"}), text: make("span")}));
  const said = make("output", {"aria-live": "polite"});

  // a round brush with a soft edge, as MNIST's strokes have one
  function dab(x, y) {
    const r = hiding ? 3 : 1.9;
    for (let j = Math.max(0, Math.floor(y - r)); j <= Math.min(S - 1, y + r); j++) for (let i = Math.max(0, Math.floor(x - r)); i <= Math.min(S - 1, x + r); i++) {
      const far = Math.hypot(i + .5 - x, j + .5 - y);
      if (hiding) { if (far < r) hidden[j * S + i] = 1; }
      else image[j * S + i] = Math.max(image[j * S + i], Math.min(1, Math.max(0, r - far)));
    }
    later();
  }
  function stroke(x0, y0, x1, y1) { const n = Math.ceil(2 * Math.hypot(x1 - x0, y1 - y0)) || 1; for (let i = 0; i <= n; i++) dab(x0 + (x1 - x0) * i / n, y0 + (y1 - y0) * i / n); }
  function later() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; show(); }); } }

  function show() {
    const some = hidden.some(h => h), blank = !image.some(v => v);
    const gamma = layer.posterior(layer.scores(image, some ? hidden : null));
    const whole = some ? layer.complete(image, hidden, gamma) : image;
    const probable = layer.classify(layer.pooled(layer.scores(whole)));
    const d = pad.getContext("2d");
    for (let i = 0; i < N; i++) {
      const g = Math.round(255 - 255 * image[i]), x = 10 * (i % S), y = 10 * Math.floor(i / S);
      d.fillStyle = hidden[i] ? ((i + Math.floor(i / S)) % 2 ? "#e8a13a" : "#f4c98a") : `rgb(${g},${g},${g})`;
      d.fillRect(x, y, 10, 10);
    }
    d.strokeStyle = "rgba(31,78,121,.35)"; d.setLineDash([6, 6]); d.strokeRect(40, 40, 200, 200); d.setLineDash([]);
    if (document.activeElement === pad) { d.strokeStyle = "#c0392b"; d.strokeRect(10 * pen.x, 10 * pen.y, 10, 10); }
    grey(belief, whole, S);
    const share = Array.from({length: layer.K}, (_, k) => gamma.subarray(k * layer.B, (k + 1) * layer.B).reduce((a, b) => a + b));
    const order = share.map((_, k) => k).sort((a, b) => share[b] - share[a]);
    firing.forEach((f, i) => {
      const k = order[i], map = gamma.subarray(k * layer.B, (k + 1) * layer.B);
      grey(f.filter, mu.subarray(k * layer.L ** 2, (k + 1) * layer.L ** 2), layer.L);
      grey(f.where, map, layer.H, 0, Math.max(...map) || 1);
      f.text.textContent = blank ? "" : `${(100 * share[k]).toFixed(share[k] > .1 ? 0 : 1)} %`;
      f.filter.setAttribute("aria-label", `Filter ${k}`); f.where.setAttribute("aria-label", `Where filter ${k} fires`);
    });
    const best = probable.indexOf(Math.max(...probable));
    bars.forEach((b, c) => { b.classList.toggle("best", c === best && !blank); b.children[1].style.width = blank ? 0 : `${70 * probable[c]}%`; b.children[2].textContent = blank ? "" : `${(100 * probable[c]).toFixed(0)} %`; });
    said.textContent = blank ? "Draw a digit, in the dashed square." : `Taken for a ${best}, with ${(100 * probable[best]).toFixed(0)} %` + (some ? "; the hidden part is filled with its posterior mean." : ".");
    pad.dataset.best = blank ? "" : best;
  }

  function choose(h) { hiding = h; mode.draw.setAttribute("aria-pressed", !h); mode.hide.setAttribute("aria-pressed", h); }
  mode.draw.onclick = () => choose(false);
  mode.hide.onclick = () => choose(true);
  clear.onclick = () => { image.fill(0); hidden.fill(0); choose(false); show(); };
  example.onclick = () => { image.set(examples[next++ % examples.length]); hidden.fill(0); show(); };

  let from;
  const place = e => { const r = pad.getBoundingClientRect(); return [S * (e.clientX - r.left) / r.width, S * (e.clientY - r.top) / r.height]; };
  pad.onpointerdown = e => { e.preventDefault(); pad.focus({preventScroll: true}); pad.setPointerCapture(e.pointerId); from = place(e); dab(...from); };
  pad.onpointermove = e => { if (from) { const to = place(e); stroke(...from, ...to); from = to; } };
  pad.onpointerup = pad.onpointercancel = () => { from = undefined; };
  pad.onfocus = pad.onblur = later;
  const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  pad.onkeydown = e => {
    if (steps[e.key]) {
      pen.x = Math.min(S - 1, Math.max(0, pen.x + steps[e.key][0])); pen.y = Math.min(S - 1, Math.max(0, pen.y + steps[e.key][1]));
      e.shiftKey ? dab(pen.x + .5, pen.y + .5) : later();
    } else if (e.key === " ") dab(pen.x + .5, pen.y + .5);
    else if (e.key === "Delete" || e.key === "Backspace") clear.onclick();
    else return;
    e.preventDefault();
  };

  choose(false);
  example.onclick();
  const element = make("div", {className: "draw-a-digit"},
    make("div", {className: "side"}, pad, make("div", {className: "controls"}, mode.draw, mode.hide, clear, example)),
    make("div", {className: "side"}, belief, make("small", {textContent: "as the model believes it to be"})),
    make("div", {className: "side bars"}, ...bars),
    make("div", {className: "firing"}, ...firing.map(f => make("div", {}, f.filter, f.where, f.text))), said);
  element.layer = layer; element.examples = examples;      // for the check
  return element;
});
