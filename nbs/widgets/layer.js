// The layer of the paper, in plain JavaScript: scores, posterior, pooled features, classes, and what lies under hidden pixels.
"use strict";

class Layer {
  // shape: {filters: K, side: L, image: S, padding: p, variance}; mu: K*L*L numbers; logWeights: K; classes: {weight: 10 rows of K, bias: 10}
  constructor(shape, mu, logWeights, classes) {
    Object.assign(this, {K: shape.filters, L: shape.side, S: shape.image, p: shape.padding, variance: shape.variance, mu, logWeights, classes});
    this.H = this.S + 2 * this.p - this.L + 1;      // locations along a side
    this.B = this.H * this.H;
    const {K, L} = this;
    this.pixels = Float64Array.from(mu, (_, i) => mu[(i % K) * L * L + Math.floor(i / K)]);      // (L*L, K)
    this.lengths = Float64Array.from({length: K}, (_, k) => mu.subarray(k * L * L, (k + 1) * L * L).reduce((s, m) => s + m * m, 0));
  }

  // score_ku = (<mu_k, x_u> - |mu_k|^2/2)/variance + log pi_k - log B, over the pixels that are seen (eq. 3); hidden: S*S flags or nothing
  scores(image, hidden) {
    const {K, L, S, H, B, p, pixels} = this;
    const inner = new Float64Array(B * K), length = new Float64Array(B * K);      // <mu_k, x_u>, |mu_k|^2; filters next to each other
    for (let u = 0; u < B; u++) length.set(this.lengths, u * K);
    // every pixel that is not zero, or not seen, adds its part to the locations whose patch covers it
    for (let y = 0; y < S; y++) for (let x = 0; x < S; x++) {
      const v = image[y * S + x], gone = hidden && hidden[y * S + x];
      if (!v && !gone) continue;
      const py = y + p, px = x + p, a1 = Math.min(H - 1, py), b1 = Math.min(H - 1, px);
      for (let a = Math.max(0, py - L + 1); a <= a1; a++) for (let b = Math.max(0, px - L + 1); b <= b1; b++) {
        const from = ((py - a) * L + px - b) * K, to = (a * H + b) * K;
        if (gone) for (let k = 0; k < K; k++) length[to + k] -= pixels[from + k] * pixels[from + k];
        else for (let k = 0; k < K; k++) inner[to + k] += v * pixels[from + k];
      }
    }
    const out = new Float64Array(K * B);
    for (let k = 0; k < K; k++) for (let u = 0; u < B; u++)
      out[k * B + u] = (inner[u * K + k] - length[u * K + k] / 2) / this.variance + this.logWeights[k] - Math.log(B);
    return out;
  }

  // gamma_ku: the scores made to sum to one
  posterior(scores) {
    const z = Layer.logsumexp(scores, 0, scores.length);
    return scores.map(s => Math.exp(s - z));
  }

  // one number a filter: logsumexp over locations (eq. P)
  pooled(scores) {
    return Float64Array.from({length: this.K}, (_, k) => Layer.logsumexp(scores, k * this.B, (k + 1) * this.B));
  }

  // probabilities of the ten classes: a softmax regression on pooled features
  classify(pooled) {
    const {weight, bias} = this.classes;
    const logits = Float64Array.from(weight, (row, c) => bias[c] + row.reduce((s, w, k) => s + w * pooled[k], 0));
    const z = Layer.logsumexp(logits, 0, logits.length);
    return logits.map(l => Math.exp(l - z));
  }

  // sum_ku gamma_ku m_ku: the image that the model expects, pixel by pixel
  expected(gamma) {
    const {K, L, S, H, B, p, mu} = this, out = new Float64Array(S * S);
    for (let k = 0; k < K; k++) for (let u = 0; u < B; u++) {
      const g = gamma[k * B + u];
      if (g < 1e-7) continue;
      const a = Math.floor(u / H) - p, b = u % H - p;
      for (let i = Math.max(0, -a); i < L && a + i < S; i++) for (let j = Math.max(0, -b); j < L && b + j < S; j++)
        out[(a + i) * S + b + j] += g * mu[(k * L + i) * L + j];
    }
    return out;
  }

  // the image with hidden pixels replaced by their posterior mean given those that are seen
  complete(image, hidden, gamma) {
    const mean = this.expected(gamma);
    return Float64Array.from(image, (v, i) => hidden[i] ? mean[i] : v);
  }

  static logsumexp(v, from, to) {
    let top = -Infinity, sum = 0;
    for (let i = from; i < to; i++) if (v[i] > top) top = v[i];
    for (let i = from; i < to; i++) sum += Math.exp(v[i] - top);
    return top + Math.log(sum);
  }
}

// What the three figures share: elements, pictures of numbers, and where their data lie.
const Moving = {
  home: new URL(".", document.currentScript.src),
  at: name => new URL(name, Moving.home),
  json: name => fetch(Moving.at(name)).then(r => r.json()),
  floats: name => fetch(Moving.at(name)).then(r => r.arrayBuffer()).then(b => new Float32Array(b)),
  picture: name => new Promise((done, failed) => { const i = new Image(); i.onload = () => done(i); i.onerror = failed; i.src = Moving.at(name); }),
  make(tag, attributes = {}, ...children) {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) k in e ? e[k] = v : e.setAttribute(k, v);
    e.append(...children);
    return e;
  },
  // numbers between low and high as grey levels, ink dark; size: pixels on a side
  grey(canvas, values, width, low = 0, high = 1) {
    const height = values.length / width, data = new ImageData(width, height);
    canvas.width = width; canvas.height = height;
    values.forEach((v, i) => { const g = 255 - 255 * Math.min(1, Math.max(0, (v - low) / (high - low))); data.data.set([g, g, g, 255], 4 * i); });
    canvas.getContext("2d").putImageData(data, 0, 0);
  },
  // puts the figure where its still picture stood, caption and number kept
  start(id, build) {
    const still = document.querySelector(`#${id} img`);
    if (!still) return;
    build(still).then(e => { e.classList.add("moving-figure"); still.replaceWith(e); e.dispatchEvent(new Event("ready", {bubbles: true})); })
      .catch(error => { still.title = `The figure does not move here: ${error.message}`; });
  },
};
