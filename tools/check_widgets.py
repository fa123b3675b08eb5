"""Check the figures that move in headless Chromium: their numbers against torch, every control, and the console.

Run from the top of the repository after `nbdev_docs`; exit status 1 and a traceback if a figure does something else than it says.
"""
import json
from pathlib import Path

import torch
from fastcore.script import call_parse
from nbdev.config import get_config
from torch.testing import assert_close

from browser import Visit, chromium, served
from calm_nb import CALM
from calm_nb.experiments.moving import complete, visible_scores
from calm_nb.features.pooling import pool

NUMBERS = """([digit, hidden]) => {
  const f = document.querySelector('.draw-a-digit'), layer = f.layer, x = f.examples[digit];
  const scores = layer.scores(x), gamma = layer.posterior(scores), pooled = layer.pooled(scores);
  const part = layer.scores(x, hidden);
  return [x, scores, gamma, pooled, layer.classify(pooled), part, layer.complete(x, hidden, layer.posterior(part))].map(v => [...v]);
}"""
INK = """name => {
  const shown = document.querySelector(name), copy = new OffscreenCanvas(shown.width, shown.height), pen = copy.getContext('2d', {willReadFrequently: true});
  pen.drawImage(shown, 0, 0);
  return pen.getImageData(0, 0, copy.width, copy.height).data.reduce((sum, v, i) => i % 4 ? sum : sum + 255 - v, 0);
}"""
FIRING = "() => [...document.querySelectorAll('.firing span')].map(e => parseFloat(e.textContent))"


def check_numbers(page, widgets, results):
    "Scores, posterior, pooled features, classes and completions of twenty digits are torch's, to 1e-4."
    calm, facts = CALM.load(results/'mnist.safetensors'), json.loads((widgets/'digit.json').read_text())
    m = calm.model_.__class__(calm.filters_.double(), log_weights=calm.weights_.double().log(), variance=calm.variance_, padding=calm.padding)
    hidden = torch.zeros(1, 1, 28, 28, dtype=torch.bool)
    hidden[..., 6:16, 12:22] = True
    weight, bias = (torch.tensor(facts['classes'][k], dtype=torch.float64) for k in ('weight', 'bias'))
    for digit in range(len(facts['examples'])):
        x, *theirs = (torch.tensor(v, dtype=torch.float64) for v in page.evaluate(NUMBERS, [digit, hidden.flatten().int().tolist()]))
        x = x.view(1, 1, 28, 28)
        scores, pooled, part = m.score(x), pool(m.score(x)), visible_scores(m, x, hidden)
        ours = scores, scores.flatten(1).softmax(1), pooled, (pooled@weight.T + bias).softmax(1), part, complete(m, x, hidden)
        for a, b in zip(theirs, ours): assert_close(a, b.flatten(), rtol=0, atol=1e-4)
    assert digit == 19
    x = torch.tensor(page.evaluate("() => document.querySelector('.draw-a-digit').examples.map(e => [...e])"), dtype=torch.float32).view(-1, 1, 28, 28)
    assert_close(calm.transform(x), pool(m.score(x.double())).float(), rtol=0, atol=1e-3)    # the estimator itself, in float32


def said(page, figure): return page.inner_text(f'.{figure} output')


def check_em(page):
    "Slider and button show the pass that they name."
    slider, last = page.locator('.em-at-work input'), int(page.get_attribute('.em-at-work input', 'max'))
    frames = []
    for n in 0, 1, last:
        slider.fill(str(n))
        assert said(page, 'em-at-work').startswith(f'After {n} pass'), said(page, 'em-at-work')
        frames.append(page.evaluate(INK, '.em-at-work canvas'))
    assert len(set(frames)) == 3
    slider.focus()
    page.keyboard.press('ArrowLeft')
    assert said(page, 'em-at-work').startswith(f'After {last-1} passes')
    slider.fill(str(last))
    play = page.locator('.em-at-work button')
    play.click()
    assert play.inner_text() == 'Stop' and said(page, 'em-at-work').startswith('After 0 passes')
    page.wait_for_function("() => document.querySelector('.em-at-work output').textContent.startsWith('After 2 ')")
    play.click()
    before = said(page, 'em-at-work')
    page.wait_for_timeout(1000)
    assert play.inner_text() == 'Play' and said(page, 'em-at-work') == before


def check_digit(page, touch):
    "Pen, finger and keyboard draw and hide; buttons do what they say."
    button = lambda name: page.get_by_role('button', name=name, exact=True)
    pad = page.locator('.draw-a-digit .pad')
    pad.scroll_into_view_if_needed()
    assert said(page, 'draw-a-digit').startswith('Taken for a 0'), said(page, 'draw-a-digit')
    assert abs(sum(page.evaluate(FIRING)) - 100) < 5
    button('Clear').click()
    page.wait_for_timeout(50)
    assert said(page, 'draw-a-digit').startswith('Draw a digit')
    box = pad.bounding_box()
    at = lambda x, y: (box['x'] + box['width']*x/28, box['y'] + box['height']*y/28)
    if touch: page.touchscreen.tap(*at(14, 14))
    else:
        page.mouse.move(*at(14, 5)); page.mouse.down()
        page.mouse.move(*at(14, 23), steps=12); page.mouse.up()
    page.wait_for_timeout(100)
    assert 'Taken for a' in said(page, 'draw-a-digit')
    if not touch: assert said(page, 'draw-a-digit').startswith('Taken for a 1'), said(page, 'draw-a-digit')
    ink = page.evaluate(INK, '.draw-a-digit .pad')
    button('Hide a part').click()
    assert page.get_attribute('.draw-a-digit button[aria-pressed=true]', 'aria-pressed') and 'Hide' in page.inner_text('.draw-a-digit button[aria-pressed=true]')
    if touch: page.touchscreen.tap(*at(14, 10))
    else: page.mouse.click(*at(14, 10))
    page.wait_for_timeout(100)
    assert 'posterior mean' in said(page, 'draw-a-digit') and page.evaluate(INK, '.draw-a-digit .pad') != ink
    button('Clear').click()
    pad.focus()
    for key in ['ArrowUp']*7 + ['Shift+ArrowDown']*16: page.keyboard.press(key)
    page.wait_for_timeout(100)
    assert said(page, 'draw-a-digit').startswith('Taken for a 1'), said(page, 'draw-a-digit')
    page.keyboard.press('Delete')
    page.wait_for_timeout(50)
    assert said(page, 'draw-a-digit').startswith('Draw a digit')
    page.keyboard.press(' ')
    page.wait_for_timeout(100)
    assert said(page, 'draw-a-digit').startswith('Taken for a')
    for _ in range(20):
        button('Another digit').click()
        page.wait_for_timeout(30)
        assert said(page, 'draw-a-digit').startswith('Taken for a')


def check_window(page, widgets):
    "Every stop of the slider shows its window, with as many patches as windows."
    facts, slider, seen = json.loads((widgets/'window.json').read_text()), page.locator('.window-to-location input'), set()
    for i, w in enumerate(facts['windows']):
        slider.fill(str(i))
        text, per_side = said(page, 'window-to-location'), -(-facts['locations']//(w['side'] or facts['locations']))
        assert w['patches'] == per_side**2, w
        assert 'one patch' in text if i == 0 else f'{w["patches"]:,} patches' in text, text
        seen.add(page.evaluate(INK, '.window-to-location .side:nth-child(2) canvas'))
    assert len(seen) == len(facts['windows'])


@call_parse
def main(page: str = '3_experiments/moving_figures.html',  # page below the site
         docs: str = None,  # built site; the project's own if not given
        ):
    "Try every figure that moves, with a mouse and on a phone."
    cfg = get_config()
    widgets, results = cfg.nbs_path/'widgets', cfg.config_path/'results'
    with served(Path(docs or cfg.doc_path), cfg.doc_baseurl) as root, chromium() as browser:
        for name, how in dict(desk=dict(width=1400), phone=dict(width=420, has_touch=True, is_mobile=True)).items():
            visit = Visit(browser, f'{root}/{page}', **how)
            with visit as p:
                for figure in 'em-at-work', 'draw-a-digit', 'window-to-location': p.wait_for_selector(f'.{figure}.moving-figure')
                if name == 'desk': check_numbers(p, widgets, results)
                check_em(p); check_digit(p, touch=name == 'phone'); check_window(p, widgets)
                assert p.evaluate('document.documentElement.scrollWidth <= innerWidth'), f'{name}: scrolls sideways'
                assert not visit.said, visit.said
                assert not visit.failed, visit.failed
            print(f'{name}: numbers, controls and console are in order')
