// EM at work: the filters pass by pass, and the likelihood of each.
"use strict";
Moving.start("em-at-work", async still => {
  const [run, sheet] = await Promise.all([Moving.json("em.json"), Moving.picture("em.png")]);
  const {make} = Moving, last = run.log_likelihood.length, side = run.size;
  const filters = make("canvas", {width: side, height: side, role: "img", className: "pixels"}), pen = filters.getContext("2d");
  const slider = make("input", {type: "range", min: 0, max: last, value: last, "aria-label": "Passes of EM"});
  const play = make("button", {type: "button", textContent: "Play"});
  const said = make("output", {"aria-live": "polite"});

  // the curve: a value for the filters before each pass
  const W = 320, H = 220, edge = {left: 52, right: 10, top: 12, bottom: 34}, svg = "http://www.w3.org/2000/svg";
  const low = Math.min(...run.log_likelihood.slice(1)) - 1, high = Math.max(...run.log_likelihood) + .5;
  const px = i => edge.left + (W - edge.left - edge.right) * i / (last - 1);
  const py = v => Math.min(H - edge.bottom, edge.top + (H - edge.top - edge.bottom) * (high - v) / (high - low));
  const draw = (tag, attributes, text = "") => { const e = document.createElementNS(svg, tag); for (const k in attributes) e.setAttribute(k, attributes[k]); e.textContent = text; return e; };
  const curve = draw("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Mean log-likelihood of an image against passes"});
  const ticks = [low + 1, high - .5].map(v => draw("text", {x: edge.left - 6, y: py(v) + 4, "text-anchor": "end"}, v.toFixed(1)));
  const line = draw("polyline", {points: run.log_likelihood.map((v, i) => `${px(i)},${py(v)}`).join(" ")});
  const dot = draw("circle", {r: 5});
  curve.append(draw("path", {d: `M${edge.left},${edge.top}V${H - edge.bottom}H${W - edge.right}`}), line, dot, ...ticks,
    draw("text", {x: (W + edge.left) / 2, y: H - 8, "text-anchor": "middle"}, "passes of EM"),
    draw("text", {x: 14, y: H / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${H / 2})`}, "nats per image"));

  function show(pass) {
    pen.drawImage(sheet, 0, pass * side, side, side, 0, 0, side, side);
    const v = run.log_likelihood[pass];
    filters.setAttribute("aria-label", `${run.columns ** 2} filters after ${pass} passes`);
    dot.style.display = v === undefined ? "none" : "";
    if (v !== undefined) { dot.setAttribute("cx", px(pass)); dot.setAttribute("cy", py(v)); }
    said.textContent = `After ${pass} ${pass === 1 ? "pass" : "passes"}` + (v === undefined ? ", the last" : `: ${v.toFixed(2)} nats per image`);
    slider.value = pass;
  }
  let timer;
  function stop() { clearInterval(timer); timer = undefined; play.textContent = "Play"; }
  play.onclick = () => {
    if (timer) return stop();
    let pass = +slider.value >= last ? 0 : +slider.value;
    play.textContent = "Stop"; show(pass);
    timer = setInterval(() => { show(++pass); if (pass >= last) stop(); }, 450);
  };
  slider.oninput = () => { stop(); show(+slider.value); };
  show(last);
  return make("div", {className: "em-at-work"}, make("div", {className: "side"}, filters), make("div", {className: "side"}, curve, make("div", {className: "controls"}, play, slider), said));
});
