"""Check what pages say and how they look.

`check_site.py --built` calls `check_built`, which visits the built site in headless
Chromium. `python tools/check_pages.py` reads the notebooks' prose, summaries,
captions, texts of figures, and what their cells say by `Markdown`, but for what
stands in braces there. It lists every number beside the name of a result, such as
accuracy, nats or seconds, that no cell computes, and then exits with status 1.
Quotations, code, equations and citations may hold such numbers. Others are allowed
by a comment in a markdown cell of the same notebook that gives each number as it is
written, and its source:
`<!-- numbers: 94.82, 96.06 (Table 1 of the paper) -->`.
A source that is a cell or a table of the page is looked up: the number must be
among the outputs, or in the code if the source says that the cell sets it.
"""
import ast
import importlib
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

from execnb.nbio import read_nb
from fastcore.script import call_parse
from nbdev.config import get_config

# bytes of a page and all it loads, compressed as GitHub Pages sends them
HEAVIEST = 1.5e6
LANDING = 7e5
WIDTHS = 1400, 420

WORDS = ('two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|'
         'forty|fifty|hundred|thousand')
RESULT = re.compile(
    r'\b(accura\w+|nats?|bits?|likelihood|seconds?|minutes?|hours?|ms|[KMG]i?B|memory|'
    r'speed\w*|faster|slower|quicker|errors?|deviations?|points?|per ?cent|correct|'
    r'right|wrong|gains?|losses|FLOPS?|TFLOP|images per second)\b|%', re.I)
UNITS = 'nats?|ms|s|seconds|minutes?|hours?|[KMGT]i?B'
NUMBER = re.compile(
    r'(?<![\w./-])(-?\d+(?:,\d{3})*\.\d+(?![\w.]|-bit)|'
    rf'-?\d+(?:,\d{{3}})*(?=\s(?:{UNITS})\b)|'
    rf'(?:{WORDS})(?=\s(?:{UNITS}|points)\b)|'
    r'(?:twice|half|a third|a quarter|a fifth)'
    r'(?=\sas\s(?:long|fast|much|many|large)\b)|'
    r'\d+(?:\.\d+)?(?:\s?%| per ?cent| points?\b)|'
    rf'(?:\d+(?:\.\d+)?|{WORDS})(?:\stimes|-?fold)\b)', re.I)
GIVEN = re.compile(r'<!--\s*numbers:(.*?)-->', re.S)
NOT_SAID = re.compile(
    r'<!--.*?-->|```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|^\s*>.*?$|"[^"\n]*"|'
    r'“[^”]*”|\[[^\]]*@[^\]]*\]|\]\([^)]*\)|'
    r'\b(?:eqs?\.|equations?|sections?|sec\.|figures?|tables?|chapters?|version|'
    r'Python|torch|PyTorch|CUDA|Quarto|nbdev)\s+\(?[\d.]+', re.S | re.M | re.I)
REASON = re.compile(r'([^()]*)\(((?:[^()]|\([^()]*\))*)\)')
HERE = re.compile(r'\b(?:above|below|(?:next|previous|this|the) (?:cell|table))\b')
SET = re.compile(r'\b(?:sets?|thresholds?|writes|settings?)\b|`', re.I)
VALUE = re.compile(r'(?<![\w.])-?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:e-?\d+)?')
CAPTION = re.compile(r'^#\| (?:tbl|fig)-(?:sub)?(?:cap|alt): *(.*?) *$', re.M)
SUMMARY = re.compile(r'^> (.*)$', re.M)
SENTENCES = re.compile(r'(?<=[.!?;])\s+(?=[A-Z*])|\n\s*\n|\n(?=[-*|#])')

LOOK = r"""() => {
  const wrong = [], main = document.querySelector('main'), add = t => wrong.push(t);
  const short = e => (e.textContent || '').trim().replace(/\s+/g, ' ').slice(0, 60);
  const all = q => [...main.querySelectorAll(q)];
  const file = i => i.src.split('/').pop();
  for (const m of all('.math'))
    if (!m.querySelector('.katex')) add('an equation is not rendered: ' + short(m));
  for (const m of all('.katex-error, mjx-merror'))
    add('an equation is wrong: ' + short(m));
  const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  for (let n; n = walker.nextNode();) {
    const p = n.parentElement;
    if (p.closest('pre, code, script, style, .math, .katex, noscript')) continue;
    const m = n.textContent.match(/\]\(|\*\*|```|:::|\{#|\?@|\$\$|\\\(|\\tag\{/);
    if (m) add('raw markdown: ' + n.textContent.trim().slice(0, 80));
  }
  const found = (t, what, around) => {
    if (what.test(t)) return (t.match(around) || [''])[0];
  };
  const report = (said, text) => { if (text !== undefined) add(said + text); };
  for (const c of all('pre code')) report('raw markdown in code: ',
    found(c.textContent, /\]\(https?:/, /.{0,30}\]\(https?:.{0,20}/));
  for (const o of all('pre, .cell-output')) {
    const t = o.textContent;
    report('a name of __main__: ',
      found(t, /<__main__|\b__main__\./, /.{0,30}__main__.{0,30}/));
    report('a memory address: ',
      found(t, /\bat 0x[0-9a-f]{6,}/, /.{0,30}at 0x.{0,10}/));
    report('<factory> in a signature: ', found(t, /<factory>/, /.{0,30}<factory>/));
  }
  for (const o of all('.cell-output')) if (/Warning: |^Traceback /m.test(o.textContent))
    add('a warning in an output: ' + short(o));
  for (const o of all('.cell-output-stderr')) add('an output on stderr: ' + short(o));
  const captioned = f => /^Figure\s\S*\d/.test(
    f.querySelector(':scope > figcaption')?.textContent.trim() ?? '');
  for (const i of all('img')) {
    if ((i.getAttribute('alt') || '').trim().split(/\s+/).length < 4)
      add('a picture without alternative text: ' + file(i));
    // a part of a figure is numbered with the whole
    if (!all('figure').filter(f => f.contains(i)).some(captioned))
      add('a picture without number and caption: ' + file(i));
    if (!i.naturalWidth && i.loading !== 'lazy')
      add('a picture that does not load: ' + file(i));
  }
  for (const t of all('table')) {
    if (t.closest('.katex, .callout-header') || t.querySelector('table')) continue;
    const cap = t.querySelector('caption')
      || t.closest('figure, .quarto-float')?.querySelector('figcaption');
    if (!cap || !/^Table\s\S*\d/.test(cap.textContent.trim()))
      add('a table without number and caption: ' + short(t));
  }
  for (const a of document.querySelectorAll('a.quarto-xref, a.citation'))
    if (!a.getAttribute('href')) add('a reference to nothing: ' + short(a));
  return wrong;
}"""
FACTS = """() => ({
  ids: [...document.querySelectorAll('[id], a[name]')].map(e => e.id || e.name),
  links: [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href')),
  title: document.title, next: !!document.querySelector('.nav-page-next a')})"""
SIDEWAYS = 'document.documentElement.scrollWidth > innerWidth'
WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll('main *')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3)
    .map(e => e.tagName.toLowerCase() + '.' + (e.className.baseVal ?? e.className))"""
DIM = r"""() => {    // text whose contrast with what is behind it is below three to one
  const rgb = c => (c.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = v => v.slice(0, 3).map(
    x => (x /= 255) <= .04045 ? x/12.92 : ((x + .055)/1.055)**2.4);
  const luminance = v => {
    const [r, g, b] = light(v);
    return .2126*r + .7152*g + .0722*b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > .5) return c;
    }
    return [255, 255, 255];
  };
  const text = 'main :is(p, a, code, pre, td, th, figcaption, summary, .btn)';
  const seen = e => e.offsetHeight && e.textContent.trim();
  return [...document.querySelectorAll(text)].filter(seen).filter(e => {
    const both = [luminance(rgb(getComputedStyle(e).color)), luminance(behind(e))];
    const [a, b] = both.sort((x, y) => y - x);
    return (a + .05)/(b + .05) < 3;
  }).slice(0, 3).map(
    e => e.tagName.toLowerCase() + ' ' + e.textContent.trim().slice(0, 40));
}"""
FIRST = """() => [...document.querySelectorAll('main h1, main p')].some(
  e => e.offsetHeight && e.innerText.trim().length > 60)"""


def captions(source):
    """Captions and texts of the figures and tables of a cell.

    >>> captions('#| fig-cap: "One"\\n#| fig-subcap: ["a, b", "c"]\\n1')
    ['One', 'a, b', 'c']
    """
    texts = [ast.literal_eval(t) if t[:1] in '["' and t[-1] in ']"' else t
             for t in CAPTION.findall(source) if t]
    return [t for v in texts for t in (v if isinstance(v, list) else [v])]


def spoken(node):
    "Texts of a string expression; what stands in braces becomes `{}`, and is read too."
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        inner = [n.value for n in node.values if isinstance(n, ast.FormattedValue)]
        whole = ''.join(n.value if isinstance(n, ast.Constant) else '{}'
                        for n in node.values)
        return [whole] + [t for n in inner for t in spoken(n)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = spoken(node.left) or ['{}'], spoken(node.right) or ['{}']
        return [left[0] + right[0]] + left[1:] + right[1:]
    return [t for n in ast.iter_child_nodes(node) for t in spoken(n)]


def said_by(source):
    """Texts of four words or more in a cell that calls `Markdown`.

    >>> said_by("n = 3; Markdown(f'{n} runs gave 95.2 % in the mean' + last)")
    ['{} runs gave 95.2 % in the mean{}']
    >>> said_by("print('they gave 95.2 % in the mean')")
    []
    """
    if 'Markdown(' not in source: return []
    lines = (l for l in source.splitlines() if not l.startswith(('%', '!')))
    tree = ast.parse('\n'.join(lines))
    docs = {ast.get_docstring(n, False) for n in ast.walk(tree)
            if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    return [t for t in spoken(tree) if len(t.split()) > 3 and t not in docs]


def shown(nb, code=False):
    "Numbers among the outputs of a notebook, or among them and in its code."
    texts = []
    for c in (c for c in nb.cells if c.cell_type == 'code'):
        if code: texts.append(c.source)
        for o in c.get('outputs', []):
            data = o.get('data', {})
            texts += [o.get('text', '')] + [v for k, v in data.items()
                                            if k.startswith('text/')]
    text = '\n'.join(''.join(t) for t in texts)
    return [float(v.replace(',', '')) for v in VALUE.findall(text)]


def unshown(nb, given):
    "Numbers that a comment says are on the page, and are not: number, source."
    for numbers, reason in REASON.findall(given):
        if not HERE.search(reason): continue
        there = shown(nb, bool(SET.search(reason)))
        for v in VALUE.findall(numbers):
            digits, x = len(v.partition('.')[2]), float(v.replace(',', ''))
            scales = (1, 100) if '%' in numbers else (1,)
            if not any(round(s*t, digits) == x for t in there for s in scales):
                yield v, f'numbers: {v} ({reason})'


def stray_numbers(nb):
    """Numbers beside a result's name that are not allowed: number, sentence.

    >>> from execnb.nbio import mk_cell, new_nb
    >>> prose = lambda s: mk_cell(s, 'markdown')
    >>> page = lambda *cells: list(stray_numbers(new_nb([prose('# Title'), *cells])))
    >>> page(prose('EM takes 3.5 seconds. There are 3.5 of them.'))
    [('3.5', 'EM takes 3.5 seconds.')]
    >>> page(prose('"EM takes 3.5 seconds", $3.5$ nats, `3.5` nats.'))
    []
    >>> paper = prose('<!-- numbers: 94.82 (Table 1 of the paper) -->')
    >>> page(prose('An accuracy of 94.82 is printed.'), paper)
    []
    >>> page(prose('An accuracy of 94.8 is printed.'), paper)[0][0]
    '94.8'
    >>> page(mk_cell("Markdown(f'The accuracy is 94.82 here, not {found}.')"))[0][0]
    '94.82'
    >>> page(mk_cell('#| fig-alt: "Accuracy falls by 2.5 points"'))[0][0]
    '2.5'
    >>> above = prose('<!-- numbers: 2.5 (the cell above) -->')
    >>> page(mk_cell('gain'), above)
    [('2.5', 'numbers: 2.5 (the cell above)')]
    >>> cell = mk_cell('gain')
    >>> cell['outputs'] = [dict(data={'text/plain': ['2.46']})]
    >>> page(cell, prose('It gains 2.5 points.'), above)
    []
    """
    texts = [c.source for c in nb.cells if c.cell_type == 'markdown']
    for c in (c for c in nb.cells if c.cell_type == 'code'):
        texts += captions(c.source) + said_by(c.source)
    texts += SUMMARY.findall(nb.cells[0].source) if nb.cells else []
    given = ' '.join(g for t in texts for g in GIVEN.findall(t))
    yield from unshown(nb, given)
    for text in texts:
        text = NOT_SAID.sub(' ', text)
        for sentence in SENTENCES.split(text):
            if not RESULT.search(sentence): continue
            for m in NUMBER.finditer(sentence):
                allowed = re.search(rf'(?<![\w.]){re.escape(m[1])}(?![\w.]*\d)', given)
                if not allowed: yield m[1], ' '.join(sentence.split())


@call_parse
def main():
    "List numbers in prose that nothing computes."
    folder, n = get_config().nbs_path, 0
    for p in sorted(folder.rglob('*.ipynb')):
        name = p.relative_to(folder)
        if any(part[0] in '_.' for part in name.parts): continue
        for number, sentence in stray_numbers(read_nb(p)):
            at, n = max(0, sentence.find(number) - 60), n + 1
            print(f'{name}: {number}: ...{sentence[at:at + 130]}')
    if not n: return
    print(f'{n} numbers in prose beside a result that no cell computes')
    sys.exit(1)


def look(browser, root, page):
    "What is wrong with a page by itself, and what links need to know about it."
    from browser import Visit
    visit = Visit(browser, f'{root}/{page}', WIDTHS[0])
    with visit as p:
        wrong, facts = p.evaluate(LOOK), p.evaluate(FACTS)
        weight, most = sum(visit.sizes), LANDING if page == 'index.html' else HEAVIEST
        for width in WIDTHS:
            p.set_viewport_size(dict(width=width, height=900))
            p.wait_for_timeout(100)
            if not p.evaluate(SIDEWAYS): continue
            wide = ', '.join(p.evaluate(WIDE))
            wrong.append(f'scrolls sideways at {width} pixels: {wide}')
        wrong += [f'the console says: {t[:120]}' for t in visit.said]
        wrong += [f'asks another host: {u[:80]}' for u in visit.asked
                  if not u.startswith((root, 'data:', 'blob:'))]
        wrong += [f'does not get {u.removeprefix(root)}' for u in visit.failed]
        if weight > most:
            wrong.append(f'weighs {weight/1e3:.0f} kB, expected at most '
                         f'{most/1e3:.0f}')
        p.evaluate("document.querySelector('.quarto-color-scheme-toggle')?.click()")
        p.wait_for_timeout(300)
        wrong += [f'cannot be read on dark: {t}' for t in p.evaluate(DIM)]
    with Visit(browser, f'{root}/{page}', script=False) as p:
        if not p.evaluate(FIRST): wrong.append('shows no text without JavaScript')
    return wrong, facts


def broken(page, facts, files, root):
    "Links of a page that lead nowhere; `root` is the site's public address."
    for url in dict.fromkeys(facts[page]['links']):
        full = urljoin(f'{root}/{page}', url)
        if not full.startswith(root):
            u = urlparse(full)
            known = u.scheme in ('https', 'mailto', 'javascript')
            if not known or u.scheme == 'https' and '.' not in u.netloc:
                yield f'{url}: expected https and a host'
            continue
        path, _, anchor = unquote(full.removeprefix(root).lstrip('/')).partition('#')
        path = path.partition('?')[0] or 'index.html'
        if path not in files: yield f'{url}: there is no such page'
        elif anchor and path in facts and anchor not in facts[path]['ids']:
            yield f'{url}: there is no such heading'


def is_public(module, name):
    "Whether a name of a module is offered: `#| exporti` is for the package alone."
    head = name.partition('.')[0]
    home = getattr(getattr(module, head, None), '__module__', module.__name__)
    patched = home != module.__name__    # into a class of another module
    hidden = any(p.startswith('_') for p in name.split('.'))
    return not hidden and (head in module.__all__ or patched)


def entries(lib, facts):
    "Public names without an entry on their page."
    for module, names in importlib.import_module(f'{lib}._modidx').d['syms'].items():
        m = importlib.import_module(module)
        for name, (link, _) in names.items():
            if not is_public(m, name.removeprefix(f'{module}.')): continue
            page, _, anchor = link.partition('#')
            if anchor not in facts.get(page, dict(ids=()))['ids']:
                yield f'{page}: {name.removeprefix(lib + ".")} has no entry'


def check_built(docs:Path, base:str, lib:str, host:str)->list:
    "A line for everything that is wrong with the built site."
    from browser import chromium, served
    docs = Path(docs)
    files = {str(p.relative_to(docs)) for p in docs.rglob('*') if p.is_file()}
    pages = sorted(f for f in files if f.endswith('.html')
                   and not f.startswith(('site_libs', 'widgets')))
    if 'index.html' not in pages:
        return [f'{docs}: expected a built site, found none; run nbdev_docs']
    public = host.rstrip('/') + base
    wrong, facts = [], {}
    with served(docs, base) as root, chromium() as browser:
        for page in pages:
            bad, facts[page] = look(browser, root, page)
            # Quarto's script makes some links absolute
            facts[page]['links'] = [l.replace(root, public)
                                    for l in facts[page]['links']]
            wrong += [f'{page}: {b}' for b in dict.fromkeys(bad)]
    for page in pages:
        wrong += [f'{page}: {b}' for b in broken(page, facts, files, public)]
    last = [p for p in pages if not facts[p]['next']]
    wrong += [f'{p}: no link to a next page' for p in last[:-1]]
    return wrong + list(entries(lib, facts))
