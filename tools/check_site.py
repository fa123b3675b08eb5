"""Check what readers of the site meet, without building it: every notebook alone, links and equations between them, and the API pages.

A line for everything that is wrong, and then exit status 1. Run from the top of the repository, with the package installed.
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
from nbdev.processors import FilterDefaults

FIGURES = {'image/png', 'image/jpeg', 'image/svg+xml'}
TAG = r'(?:[A-Z]{1,2}\d?|\d)\b'
LINK = re.compile(r'\]\(<?((?:[^()\s]|\([^()\s]*\))+)>?\)')


def prose(nb):
    "Text of all markdown cells, code in it left out."
    return [re.sub(r'```.*?```|`[^`\n]*`', '', c.source, flags=re.S) for c in nb.cells if c.cell_type == 'markdown']


def header(nb):
    "Title and description of a notebook, None where it has none."
    text = nb.cells[0].source if nb.cells and nb.cells[0].cell_type == 'markdown' else ''
    return [m and m.group(1).strip() for m in (re.search(rf'^{mark} (.+)$', text, re.M) for mark in '#>')]


def option(source, name):
    "The value of a Quarto option of a cell, or None."
    m = re.search(rf'^#\|\s*{name}:(.*)$', source, re.M)
    return m and yaml.safe_load(m.group(1))


def alternative_text(cell):
    "What is wrong with the alternative text of a cell's pictures, or None."
    n = sum(bool(FIGURES & o.get('data', {}).keys()) for o in cell.get('outputs', []))
    if not n: return
    texts = option(cell.source, 'fig-alt')
    texts = texts if isinstance(texts, list) else [texts] if texts else []
    if len(texts) != n or any(len(str(t).split()) < 4 for t in texts): return f'{n} pictures, {len(texts)} alternative texts in `#| fig-alt` of four words or more'


def anchors(nb):
    "Names that a link can end in: headings as pandoc names them, and labels."
    heads = [h for t in prose(nb) for h in re.findall(r'^#+ +(.+?)\s*$', t, re.M)]
    slugs = {re.sub(r'^[^a-z]+', '', re.sub(r'[^\w\s.-]', '', h.lower()).strip().replace(' ', '-')) for h in heads}
    return slugs | {l for c in nb.cells for l in re.findall(r'\{#([\w-]+)', c.source)} | {option(c.source, 'label') for c in nb.cells}


def broken_link(url, nbs, folder, repo):
    "What is wrong with a link, or None."
    if re.match(r'[a-z]+:', url):
        u = urlparse(url)
        return None if u.scheme in ('https', 'mailto') and (u.scheme == 'mailto' or re.fullmatch(r'(?:[\w-]+\.)+[a-z]{2,}', u.netloc)) else f'{url}: expected https and a host'
    path, _, anchor = unquote(url).partition('#')
    if path.endswith('.ipynb'): found = Path(path).stem in nbs and Path(path).parent == Path('.')
    else: found = not path or (folder/path).resolve().exists() and (folder/path).resolve().is_relative_to(repo)
    if not found: return f'{url}: there is no such notebook or file'
    if anchor and path.endswith('.ipynb') and anchor not in anchors(nbs[Path(path).stem]): return f'{url}: there is no such heading'


def check_pages(nbs, folder, repo):
    "Titles, descriptions, pictures, and links."
    heads = {n: header(nb) for n, nb in nbs.items()}
    twice = [t for t, n in Counter(h[0] for h in heads.values()).items() if t and n > 1]
    for n, (title, description) in heads.items():
        if not title or not description: yield f'{n}: expected "# title" and "> description" in the first cell'
        if title in twice: yield f'{n}: another notebook is also called {title!r}'
    for n, nb in nbs.items():
        yield from (f'{n}, cell {c.id}: {e}' for c in nb.cells if c.cell_type == 'code' and (e := alternative_text(c)))
        urls = [u for t in prose(nb) for u in LINK.findall(t) + re.findall(r'(?<![(<])\bhttps?://[^\s)>\]]+', t)]
        own = [u for u in urls if u.startswith('#') and u[1:] not in anchors(nb)]
        yield from (f'{n}: {u}: there is no such heading' for u in own)
        yield from (f'{n}: {e}' for u in urls if not u.startswith('#') and (e := broken_link(u, nbs, folder, repo)))


def references(text):
    "Tags of equations that a text refers to: `eq. 3`, `eq. 4, 5`, `eq. P and S`."
    return {t for m in re.findall(rf'\b[Ee]q\. ({TAG}(?:(?:, | and |, and ){TAG})*)', text) for t in re.findall(TAG, m)}


def check_equations(nbs):
    "Every tag defined once, every reference to one that exists, and with a link where it is another notebook's."
    home = defaultdict(list)
    for n, nb in nbs.items():
        for t in prose(nb):
            for tag in re.findall(r'\\tag\{(\w+)\}', t): home[tag].append(n)
    yield from (f'eq. {t}: defined in {" and ".join(ns)}' for t, ns in home.items() if len(ns) > 1)
    for n, nb in nbs.items():
        for c in nb.cells:
            for t in sorted(references(c.source)):
                if t not in home: yield f'{n}, cell {c.id}: eq. {t} is defined nowhere'
                elif c.cell_type == 'markdown' and n not in home[t] and not linked(nb, home[t][0]): yield f'{n}, cell {c.id}: eq. {t} is of {home[t][0]}, to which this notebook has no link'


def check_index(nbs):
    "Every notebook can be reached from the index."
    yield from (f'index: no link to {n}.ipynb' for n in nbs if n != 'index' and not linked(nbs['index'], n))


def linked(nb, other):
    "Whether a notebook links to another."
    return any(Path(u.partition('#')[0]).stem == other for t in prose(nb) for u in LINK.findall(t))


def check_sidebar(nbs, folder):
    "Every notebook is in the sidebar, once, and nothing else is."
    if not (folder/'sidebar.yml').exists(): return
    if not get_config().custom_sidebar: yield 'settings.ini: expected custom_sidebar = True, or nbdev overwrites sidebar.yml'
    found = re.findall(r'[\w-]+\.ipynb', (folder/'sidebar.yml').read_text())
    yield from (f'sidebar.yml: {f} is there {n} times' for f, n in Counter(found).items() if n > 1)
    yield from (f'sidebar.yml: {f} is missing or does not exist' for f in sorted(set(found) ^ {f'{n}.ipynb' for n in nbs}))


def check_api(nbs, folder):
    "What nbdev makes of each notebook: no error, and an entry with a link to the source for every exported function and class."
    for n in nbs:
        nb = read_nb(folder/f'{n}.ipynb')
        try:
            with working_directory(folder): FilterDefaults()(nb)
        except Exception as e: yield f'{n}: nbdev cannot process it ({type(e).__name__}: {e})'; continue
        shown = {}
        for c in nb.cells:
            m = c.cell_type == 'code' and re.search(r'^show_doc\(([\w.]+)', c.source, re.M)
            if m: shown[m.group(1)] = str(c.get('outputs', ''))
        yield from (f'{n}: the entry of {k} has no link to its source' for k, v in shown.items() if '[source](' not in v)
        if m := re.search(r'^#\|\s*default_exp (\w+)', '\n'.join(c.source for c in read_nb(folder/f'{n}.ipynb').cells), re.M):
            yield from (f'{n}: {k} has no entry' for k in documented(m.group(1)) if k not in shown)


def documented(module):
    "Names of the functions and classes that a module offers."
    m = importlib.import_module(f'{get_config().lib_name}.{module}')
    return [k for k in m.__all__ if callable(getattr(m, k)) and inspect.getdoc(getattr(m, k)) is not None]


def public(module):
    "Functions and classes that a module offers, with their public methods, those patched into classes of other modules too."
    index = importlib.import_module(f'{get_config().lib_name}._modidx').d['syms'].get(f'{get_config().lib_name}.{module}', {})
    m = importlib.import_module(f'{get_config().lib_name}.{module}')
    for name in (k.rpartition(f'.{module}.')[2] for k in index):
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
            docs = docments(o.__init__ if inspect.isclass(o) else o, full=True)
            bare = [k for k, v in docs.items() if k not in ('self', 'cls', 'return', 'args', 'kwargs') and v.anno is inspect.Parameter.empty]
            if bare: yield f'{mod}.{name}: {", ".join(bare)} without a type'


@call_parse
def main():
    "Print what is wrong with the pages of the site; exit status 1 if anything is."
    os.environ['IN_TEST'] = '1'
    cfg = get_config()
    folder = cfg.nbs_path
    nbs = {p.stem: read_nb(p) for p in sorted(folder.glob('*.ipynb'))}
    modules = [p.stem for p in sorted(cfg.lib_path.glob('[a-z]*.py'))]
    wrong = [*check_pages(nbs, folder, cfg.config_path.resolve()), *check_equations(nbs), *check_index(nbs), *check_sidebar(nbs, folder), *check_documented(modules), *check_api(nbs, folder)]
    print('\n'.join(wrong) or f'{len(nbs)} notebooks and {len(modules)} modules: titles, links, equations, alternative texts, docstrings and API entries are in order')
    sys.exit(bool(wrong))
