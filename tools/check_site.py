"""Check what readers of the site meet. A line for everything that is wrong, and then exit status 1.

`python tools/check_site.py` reads the notebooks: it needs no Quarto and no browser, and fails on what would stop a build.
`python tools/check_site.py --built` looks at `_docs` as well, page by page, in headless Chromium (see `check_pages.py`).
Run from the top of the repository, with the package installed.
"""
import importlib
import inspect
import os
import re
import sys
from collections import Counter, defaultdict
from dataclasses import is_dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import yaml
from execnb.nbio import read_nb
from fastcore.docments import docments
from fastcore.script import call_parse
from fastcore.utils import working_directory
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup, _nbpath2html
from nbdev.processors import FilterDefaults

from make_sidebar import sidebar

PICTURES = {'image/png', 'image/jpeg', 'image/svg+xml'}
TAG = r'(?:\d+(?:\.\d+)*|[A-Z]{1,2}\d?)\b'    # the paper's numbers, and ours by chapter: 2.19.1
LINK = re.compile(r'\]\(<?((?:[^()\s]|\([^()\s]*\))+)>?\)')
TABLE = re.compile(r'^\|[\s:|-]+\|\s*$', re.M)
CROSS = re.compile(r'(?<![\w\\])@((?:fig|tbl|eq|sec)-[\w-]*\w)')
LEAKS = {r'<__main__|\b__main__\.': 'a name of __main__', r'\bat 0x[0-9a-f]{6,}': 'a memory address',
         r'\w*Warning: ': 'a warning', r'^Traceback ': 'a traceback',
         r'^\[?(?:<matplotlib\.|Text\()': 'what a call of matplotlib returns; end the cell in a semicolon'}


def notebooks(folder):
    "All notebooks, by their path below the folder."
    found = sorted(p.relative_to(folder) for p in folder.rglob('*.ipynb'))
    return {str(p): read_nb(folder/p) for p in found if not any(part[0] in '_.' for part in p.parts)}


def prose(nb):
    "Text of all markdown cells, code in it left out."
    return [re.sub(r'```.*?```|`[^`\n]*`', '', c.source, flags=re.S) for c in nb.cells if c.cell_type == 'markdown']


def options(cell):
    "Quarto's options of a cell, as Quarto reads them, and what is wrong with them."
    found, wrong = {}, []
    for line in re.findall(r'^#\|\s*([\w-]+:(?:\s.*)?)$', cell.source, re.M):
        try: entry = yaml.safe_load(line)
        except yaml.YAMLError as e: wrong.append(f'`#| {line[:60]}`: no YAML ({e.problem}); quote the value'); continue
        key, value = next(iter(entry.items())) if isinstance(entry, dict) else (line, None)
        if not isinstance(entry, dict): wrong.append(f'`#| {line[:60]}`: expected "key: value"')
        elif isinstance(value, dict): wrong.append(f'`#| {line[:60]}`: the value is a mapping; quote it')
        elif key in found: wrong.append(f'`#| {key}` is there twice')
        found[key] = value
    return found, wrong


def text_of(output):
    "What an output prints, and how it is stored."
    data = output.get('data', {})
    return ''.join(output.get('text', '')) + ''.join(''.join(data.get(k, '')) for k in ('text/plain', 'text/markdown', 'text/html'))


def shown(cell, opts):
    "Outputs that the page shows."
    hidden = re.search(r'^#\|\s*hide(_output)?\s*$', cell.source, re.M) or opts.get('output') is False or opts.get('include') is False
    return [] if cell.cell_type != 'code' or hidden else cell.get('outputs', [])


def check_cell(cell):
    "Options, captions, alternative texts, and what outputs must not show."
    opts, wrong = options(cell) if cell.cell_type == 'code' else ({}, [])
    outs = shown(cell, opts)
    pictures = [o for o in outs if PICTURES & o.get('data', {}).keys()]
    tables = [o for o in outs if TABLE.search(''.join(o.get('data', {}).get('text/markdown', '')))]
    if pictures: wrong += captioned(opts, 'fig', len(pictures))
    if pictures and any('text/plain' in d and not PICTURES & d.keys() and 'text/markdown' not in d for d in (o.get('data', {}) for o in outs)):
        wrong.append('shows text as a part of its figure; give it a cell of its own, or end this one in a semicolon')
    if tables and not pictures: wrong += captioned(opts, 'tbl', len(tables))
    for o in outs:
        if o.get('name') == 'stderr': wrong.append(f'prints to stderr: {text_of(o)[:60]!r}')
        if o.get('output_type') == 'error': wrong.append(f'ends in {o.get("ename")}')
        if '<script' in text_of(o): wrong.append('its HTML brings scripts')
        wrong += [f'shows {what}' for pattern, what in LEAKS.items() if re.search(pattern, text_of(o), re.M)]
    typed = '' if cell.cell_type == 'code' else re.sub(r'```.*?```', '', cell.source, flags=re.S)
    bare = len(TABLE.findall(typed)) - len(re.findall(r'\{#tbl-[\w-]+', typed))
    if bare > 0: wrong.append(f'{bare} tables without a line ": Caption {{#tbl-name}}" below them')
    return wrong


def captioned(opts, kind, n):
    "What is missing to number a figure or a table and to say what it shows."
    if not str(opts.get('label', '')).startswith(f'{kind}-'): yield f'a {dict(fig="figure", tbl="table")[kind]} without `#| label: {kind}-name`'
    if not opts.get(f'{kind}-cap'): yield f'no `#| {kind}-cap`'
    if kind == 'tbl': return
    alt = opts.get('fig-alt')
    texts = alt if isinstance(alt, list) else [alt] if alt else []
    if len(texts) != n or any(len(str(t).split()) < 4 for t in texts): yield f'{n} pictures, {len(texts)} alternative texts of four words or more in `#| fig-alt`'


def anchors(nb):
    "Names that a link can end in: headings as pandoc names them, labels, tags of equations."
    heads = [h for t in prose(nb) for h in re.findall(r'^#+ +(.+?)\s*$', t, re.M)]
    slugs = {re.sub(r'^[^a-z]+', '', re.sub(r'[^\w\s.-]', '', h.lower()).strip().replace(' ', '-')) for h in heads}
    named = {l for c in nb.cells for l in re.findall(r'\{#([\w-]+)', c.source)} | {options(c)[0].get('label') for c in nb.cells}
    return slugs | named | {f'eq-{t}' for p in prose(nb) for t in re.findall(r'\\tag\{([\w.]+)\}', p)}


def broken_link(url, nbs, at, folder, repo):
    "What is wrong with a link of the notebook `at`, or None."
    if re.match(r'[a-z]+:', url):
        u = urlparse(url)
        return None if u.scheme == 'mailto' or u.scheme == 'https' and re.fullmatch(r'(?:[\w-]+\.)+[a-z]{2,}', u.netloc) else f'{url}: expected https and a host'
    path, _, anchor = unquote(url).partition('#')
    target = (folder/at if not path else folder/path[1:] if path[0] == '/' else (folder/at).parent/path).resolve()
    if not target.exists() or not target.is_relative_to(repo): return f'{url}: there is no such notebook or file'
    name = str(target.relative_to(folder)) if target.is_relative_to(folder) else ''
    if anchor and name in nbs and anchor not in anchors(nbs[name]): return f'{url}: there is no such heading, label or equation'


def check_pages(nbs, folder, repo):
    "Titles, descriptions, names, cells, links, cross-references, citations."
    heads = {n: [m and m.group(1) for t in prose(nb)[:1] for m in (re.search(rf'^{mark} (.+)$', t, re.M) for mark in '#>')] for n, nb in nbs.items()}
    titles, names = Counter(h[0] for h in heads.values() if h), Counter(str(_nbpath2html(Path(n))) for n in nbs)
    lookup = NbdevLookup()
    keys = set(re.findall(r'^@\w+\{(\w+)', (folder/'references.bib').read_text(), re.M)) if (folder/'references.bib').exists() else set()
    for n, nb in nbs.items():
        if not heads[n] or None in heads[n]: yield f'{n}: expected "# title" and "> description" in the first cell of text'
        elif titles[heads[n][0]] > 1: yield f'{n}: another notebook is also called {heads[n][0]!r}'
        if names[str(_nbpath2html(Path(n)))] > 1: yield f'{n}: another notebook becomes the same page'
        yield from (f'{n}, cell {c.id}: {e}' for c in nb.cells for e in check_cell(c))
        inside = {k for c in nb.cells if c.cell_type == 'markdown' for k in re.findall(r'\[[^\]]*`([\w.]+)`[^\]]*\]\(', c.source)}
        yield from (f'{n}: `{k}` inside a link is linked twice; drop its backticks' for k in sorted(inside) if lookup.doc(k))
        urls = [u for t in prose(nb) for u in LINK.findall(t) + re.findall(r'(?<![(<])\bhttps?://[^\s)>\]]+', t)]
        yield from (f'{n}: {e}' for u in urls if (e := broken_link(u, nbs, n, folder, repo)))
        labels = Counter(str(l) for c in nb.cells for l in [options(c)[0].get('label'), *re.findall(r'\{#([\w-]+)', c.source)] if l)
        yield from (f'{n}: the label {l} is there {k} times' for l, k in labels.items() if k > 1)
        yield from (f'{n}: @{r} refers to nothing' for t in prose(nb) for r in CROSS.findall(t) if r not in labels)
        cited = {k for t in prose(nb) for k in re.findall(r'(?<![\w.])@([a-z]\w+)\b(?!-)', t)}
        yield from (f'{n}: @{k} is not in references.bib' for k in sorted(cited - keys))


def references(text):
    "Tags of equations that a text refers to: `eq. 3`, `eq. 4, 5`, `eq. P and S`."
    return {t for m in re.findall(rf'\b[Ee]q\. ({TAG}(?:(?:, | and |, and ){TAG})*)', text) for t in re.findall(TAG, m)}


def check_equations(nbs):
    "Every tag defined once, with the number of its page, and every reference to one that exists."
    home = defaultdict(list)
    for n, nb in nbs.items():
        for t in prose(nb):
            for tag in re.findall(r'\\tag\{([\w.]+)\}', t): home[tag].append(n)
    page = {n: re.sub(r'^(\d+)_[^/]*/0*(\d+)_.*', r'\1.\2.', n) for n in nbs}
    yield from (f'{n}: eq. {t}: expected {page[n]}...' for t, ns in home.items() for n in ns if t.count('.') > 1 and not t.startswith(page[n]))
    yield from (f'eq. {t}: defined in {" and ".join(ns)}' for t, ns in home.items() if len(ns) > 1)
    yield from (f'{n}, cell {c.id}: eq. {t} is defined nowhere' for n, nb in nbs.items() for c in nb.cells for t in sorted(references(c.source) - home.keys()))


def check_process(nbs, folder):
    "nbdev can make a page of each notebook."
    for n in nbs:
        try:
            with working_directory((folder/n).parent): FilterDefaults()(read_nb(folder/n))
        except Exception as e: yield f'{n}: nbdev cannot process it ({type(e).__name__}: {e})'


def public(module):
    "Functions and classes that a module offers, with their public methods, those patched into classes of other modules too."
    lib = get_config().lib_name
    index = importlib.import_module(f'{lib}._modidx').d['syms'].get(module, {})
    m = importlib.import_module(module)
    for name in (k.removeprefix(f'{module}.') for k in index):
        if any(p.startswith('_') for p in name.split('.')): continue
        head, _, rest = name.partition('.')
        o = inspect.getattr_static(getattr(m, head, None), rest) if rest and hasattr(m, head) else getattr(m, head, None)
        o = o.fget if isinstance(o, property) else getattr(o, '__func__', o)
        if o is not None and (inspect.isfunction(o) or inspect.isclass(o)): yield name, o


def check_documented(modules):
    "Every public function and class has a docstring, every parameter a type."
    for mod in modules:
        for name, o in public(mod):
            if not inspect.getdoc(o): yield f'{mod}.{name}: has no docstring'
            if inspect.isclass(o) and ('__init__' not in vars(o) or is_dataclass(o)): continue    # a field of a dataclass has a type
            f = o.__init__ if inspect.isclass(o) else o
            more = {k for k, v in inspect.signature(f).parameters.items() if v.kind in (v.VAR_POSITIONAL, v.VAR_KEYWORD)}
            bare = [k for k, v in docments(f, full=True).items() if k not in {'self', 'cls', 'return'} | more and v.anno is inspect.Parameter.empty]
            if bare: yield f'{mod}.{name}: {", ".join(bare)} without a type'


def check_sidebar(folder):
    "The sidebar is what folders and titles say."
    if not get_config().custom_sidebar: yield 'settings.ini: expected custom_sidebar = True, or nbdev overwrites sidebar.yml'
    if (folder/'sidebar.yml').read_text() != sidebar(folder): yield 'sidebar.yml: out of date; run `python tools/make_sidebar.py`'


@call_parse
def main(built: bool = False,  # look at the pages in `_docs` too
        ):
    "Print what is wrong with the site; exit status 1 if anything is."
    os.environ['IN_TEST'] = '1'
    cfg = get_config()
    folder, repo = cfg.nbs_path.resolve(), cfg.config_path.resolve()
    nbs = notebooks(folder)
    modules = sorted(importlib.import_module(f'{cfg.lib_name}._modidx').d['syms'])
    wrong = [*check_pages(nbs, folder, repo), *check_equations(nbs), *check_sidebar(folder), *check_documented(modules), *check_process(nbs, folder)]
    if built:
        from check_pages import check_built
        wrong += check_built(cfg.doc_path, cfg.doc_baseurl, cfg.lib_name, cfg.doc_host)
    print('\n'.join(wrong) or f'{len(nbs)} notebooks and {len(modules)} modules are in order' + ', and so are their pages'*built)
    sys.exit(bool(wrong))
