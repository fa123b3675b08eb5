"""Break exported functions one at a time and list which notebook notices.

A mutant is one change in the body of one function: a sign or an operation turned
round, an axis moved, a whole number or a comparison off by one, a term or a factor
dropped. It is made in the notebook that defines the function, in a copy of the
tree, and exported. Then that notebook is run, and after it those whose checks name
the function, until one notices: a cell fails, or gives something else than is
stored. `results/mutants.json` has a row for each. Rows are kept in
`results/mutants.parts` as they are made; a later run takes one from there if the
notebooks that it was made with have not changed since.

    python tools/mutants.py                  forty chosen functions, and sixty drawn
    python tools/mutants.py --only em.steps  some functions; printed, not stored
    python tools/mutants.py --show em.steps  list the changes that could be made
"""
import ast
import copy
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from fastcore.script import call_parse
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import NBProcessor

CHOSEN = '''
models.patch:log_normal
models.patch:patch_score
models.patch:log_posterior_location
models.patch:embed
models.mixture:PatchMixture.score
models.mixture:PatchMixture.log_evidence
models.mixture:PatchMixture.coverage
models.mixture:PatchMixture.energy
models.mixture:PatchMixture.sample
models.mixture:windows
em.steps:weighted_patch_sum
em.steps:PatchMixture.chunk_stats
em.steps:PatchMixture.m_step
em.steps:SufficientStats.__add__
em.driver:has_converged
em.recentre:PatchMixture.recentred
em.repair:PatchMixture.restarted
em.algorithms:growing_sets
features.pooling:accuracy
features.pooling:max_pool
features.classifiers:LinearSVM.fit
features.classifiers:gaussian_ridge
features.patch_codes:patch_norm
features.patch_codes:unit_shapes
features.whitened:triangle
features.whitened:Layer.features
images.arrays:as_images
images.arrays:ImageBatches.__iter__
images.preprocess:PatchZCA.fit
images.preprocess:sphere_rows
images.preprocess:orientation_channels
backends.fast:fft_score
backends.fast:unfold_score
backends.sparse:paper_stats
models.gaussian:GaussianMixture.log_density
models.gaussian:GaussianMixture.m_step
models.stationary:StationaryMixture.log_density
models.shifted:ShiftedMixture.by_shift
estimator:CALM.bic
estimator:CALM.to_conv2d
'''.split()    # which change is made in them, the seed decides
# (function, old, new) that change nothing that is computed, or only which numbers
# are drawn: `sample` cuts the image out of a canvas, which may be too large
EQUIVALENT = {('models.mixture:PatchMixture.sample', '2', '3')}

REDUCE = set('''sum mean logsumexp softmax log_softmax amax amin max min argmax
    argmin norm cumsum flatten unflatten cat stack concat var std unsqueeze squeeze
    select flip transpose movedim diff roll index_select gather topk sort unbind
    prod all any'''.split())
TURNED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
          ast.FloorDiv: ast.Div, ast.Pow: ast.Mult}
SHIFTED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
           ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
REVERSED = SHIFTED | {ast.Lt: ast.Gt, ast.LtE: ast.GtE,     # for fractions, which
                      ast.Gt: ast.Lt, ast.GtE: ast.LtE}     # are hardly ever equal


@dataclass(frozen=True)
class Mutant:
    "One change of one function."
    function: str       # module:function or module:Class.method
    notebook: str       # that defines it, by its path in `nbs`
    cell: str           # its id
    change: str         # kind of change
    old: str
    new: str
    start: int          # where `old` stands in the source of the cell

    def __str__(self):
        return f'{self.function:42} {self.change:10} {self.old!r} -> {self.new!r}'


def number(node):
    "The whole number that a node is, if it is one."
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return None if (n := number(node.operand)) is None else -n
    value = node.value if isinstance(node, ast.Constant) else None
    return value if type(value) is int else None    # True is no number


def axis_numbers(call):
    "Numbers of axes among the arguments of a call."
    name = getattr(call.func, 'attr', getattr(call.func, 'id', ''))
    named = ('dim', 'axis', 'dims', 'start_dim')
    places = [k.value for k in call.keywords if k.arg in named]
    if name in REDUCE: places += call.args
    for p in places:
        elements = p.elts if isinstance(p, ast.Tuple) else [p]
        yield from (e for e in elements if number(e) is not None)


def is_height_and_width(node):
    "`shape[-2:]`, which is `shape[2:]` for images (N,C,H,W)."
    return (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
            and getattr(node.value, 'attr', None) == 'shape'
            and node.slice.lower is not None and number(node.slice.lower) == -2)


def changes(node, is_axis):
    "Kind and new node for every change that can be made at a node."
    n, op = number(node), type(getattr(node, 'op', None))
    if is_axis:
        yield 'axis', ast.Constant({0: 1, -1: -2}.get(n, n - 1 if n > 0 else n + 1))
    elif isinstance(node, ast.Constant) and n is not None:
        yield 'off by one', ast.Constant(n + 1)
    elif isinstance(node, ast.BinOp):
        if op in TURNED:
            yield 'operation', ast.BinOp(node.left, TURNED[op](), node.right)
        if op in (ast.Add, ast.Sub, ast.Mult, ast.Div): yield 'dropped', node.left
        if op in (ast.Add, ast.Mult): yield 'dropped', node.right
    elif op is ast.USub: yield 'sign', node.operand
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SHIFTED:
        sides = node.left, node.comparators[0]
        fraction = any(type(getattr(s, 'value', None)) is float for s in sides)
        new = (REVERSED if fraction else SHIFTED)[type(node.ops[0])]()
        ops = [new, *node.ops[1:]]
        yield 'comparison', ast.Compare(node.left, ops, node.comparators)


def nodes(function):
    "Nodes of a body where a change means something, and whether they are axes."
    stack, axes = list(function.body)[::-1], set()
    apart = 'annotation', 'returns', 'decorator_list'
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.JoinedStr, ast.Raise)): continue    # texts
        if isinstance(node, ast.Call): axes |= set(axis_numbers(node))
        yield node, node in axes
        if node in axes or is_height_and_width(node): continue
        inner = [v for f, v in ast.iter_fields(node) if f not in apart]
        inner = chain(*(v if isinstance(v, list) else [v] for v in inner))
        stack += [c for c in inner if isinstance(c, ast.AST)][::-1]


def functions(tree):
    "Functions and methods of a cell by name, patched ones by their class's too."
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            patched = any('patch' in ast.unparse(d) for d in node.decorator_list)
            owner = patched and ast.unparse(node.args.args[0].annotation) + '.'
            yield (owner or '') + node.name, node
        elif isinstance(node, ast.ClassDef):
            methods = (m for m in node.body if isinstance(m, ast.FunctionDef))
            yield from ((f'{node.name}.{m.name}', m) for m in methods)


def span(source, node):
    "Where a node begins and ends in a text."
    lines = source.splitlines(True)
    def at(line, column):
        before = lines[line - 1].encode()[:column].decode()
        return sum(map(len, lines[:line - 1])) + len(before)
    end = at(node.end_lineno, node.end_col_offset)
    return at(node.lineno, node.col_offset), end


def text_of(node):
    "Source of a changed node, in brackets where it could be read otherwise."
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return f'({text})' if isinstance(node, (ast.BinOp, ast.Compare)) else text


def mutants_of(path, nbs):
    "All changes that can be made in the exported cells of a notebook."
    cells = NBProcessor(path, rm_directives=False).nb.cells
    cells = [c for c in cells if c.cell_type == 'code']
    module = next((c.directives_['default_exp'][0] for c in cells
                   if 'default_exp' in c.directives_), None)
    home = path.relative_to(nbs).as_posix()
    for c in cells:
        options = c.directives_.keys()
        if not options & {'export', 'exports'} or 'eval:' in options: continue
        into = c.directives_.get('exports') or c.directives_.get('export')
        into = into[0] if into else module    # some notebooks add to a module
        for name, function in functions(ast.parse(c.source)):
            for node, is_axis in nodes(function):
                for kind, new in changes(node, is_axis):
                    start, end = span(c.source, node)
                    m = Mutant(f'{into}:{name}', home, c.id, kind,
                               c.source[start:end], text_of(new), start)
                    if (m.function, m.old, m.new) not in EQUIVALENT: yield m


def testers(mutant, most):
    "The notebook that defines a function, then those whose checks name it."
    cfg = get_config()
    files = sorted(nbglob(cfg.nbs_path, as_path=True))
    files = [p.relative_to(cfg.nbs_path).as_posix() for p in files]
    name = re.escape(re.split('[:.]', mutant.function)[-1])
    def named(f):
        cells = NBProcessor(cfg.nbs_path/f, rm_directives=False).nb.cells
        apart = {'export', 'exports', 'slow', 'data'}
        return any(c.cell_type == 'code' and not apart & c.directives_.keys()
                   and re.search(rf'\b{name}\b', c.source) for c in cells)
    here = files.index(mutant.notebook)
    others = [f for f in files if f != mutant.notebook and named(f)]
    others.sort(key=lambda f: abs(files.index(f) - here))    # nearest first
    return [mutant.notebook, *others][:most]


class Copy:
    "A copy of the tree in which functions are broken and notebooks are run."
    def __init__(self, folder, limit):
        self.source, self.folder, self.limit = get_config().nbs_path, folder, limit
        apart = '.git .venv __pycache__ _docs _proc build .hypothesis *.egg-info'
        apart = shutil.ignore_patterns(*apart.split())
        shutil.copytree(get_config().config_path, folder, symlinks=True,
                        ignore=apart, dirs_exist_ok=True)
        self.nbs, self.own = folder/self.source.name, {}

    def call(self, *command):
        env = os.environ | dict(PYTHONPATH=str(self.folder))
        return subprocess.run(command, cwd=self.folder, env=env, errors='replace',
                              capture_output=True, text=True, timeout=self.limit)

    def export(self):
        self.call(sys.executable, '-c',
                  'from nbdev.doclinks import nbdev_export; nbdev_export()'
                 ).check_returncode()

    def run(self, notebook):
        "How a notebook notices that something is wrong, None if it does not."
        command = 'tools/run_nbs.py', '--check', '--path', str(self.nbs/notebook)
        try: status = self.call(sys.executable, *command).returncode
        except subprocess.TimeoutExpired: return 'a cell does not end'
        return {0: None, 2: 'an output differs'}.get(status, 'a cell fails')

    def by_itself(self, notebook):
        "What is wrong with a notebook when nothing is broken."
        if notebook not in self.own: self.own[notebook] = self.run(notebook)
        return self.own[notebook]

    def break_function(self, m):
        nb = read_nb(self.nbs/m.notebook)
        cell = next(c for c in nb.cells if c.id == m.cell)
        before, after = cell.source[:m.start], cell.source[m.start + len(m.old):]
        cell.source = before + m.new + after
        write_nb(nb, self.nbs/m.notebook)
        self.export()

    def mend(self, m):
        shutil.copy(self.source/m.notebook, self.nbs/m.notebook)
        self.export()

    def judge(self, m, notebooks):
        "The row of a mutant, with the notebook that notices it and how."
        start, how, tried = time.time(), None, []
        try:
            self.break_function(m)
            for n in notebooks:
                tried.append(n)
                if how := self.run(n): break
        finally: self.mend(m)
        if how and how == self.by_itself(n): how = None
        return dict(asdict(m), notices=n if how else None, how=how, tried=tried,
                    seconds=round(time.time() - start, 1))


class Rows:
    "Rows as they are made, in a file, with a checksum of what they were made with."
    def __init__(self, path, nbs):
        self.path, self.nbs = path, nbs
        self.kept = json.loads(path.read_text()) if path.exists() else {}

    def checksum(self, row):
        files = sorted({row['notebook'], *row['tried']})
        texts = [(self.nbs/f).read_bytes() for f in files if (self.nbs/f).exists()]
        return hashlib.sha256(b''.join(texts)).hexdigest()

    def __call__(self, m, make):
        key = f'{m} {m.cell} {m.start}'
        row, checksum = self.kept.get(key, (None, None))
        if row is None or self.checksum(row) != checksum:
            row = make(m)
            self.kept[key] = row, self.checksum(row)
            from calm_nb.reports import save_result
            save_result(self.path, self.kept)
        return row


def by_function(found):
    groups = defaultdict(list)
    for m in found: groups[m.function].append(m)
    return groups


def chosen(found, seed):
    "A mutant of each chosen function."
    groups = by_function(found)
    if gone := [c for c in CHOSEN if c not in groups]:
        sys.exit(f'CHOSEN: expected exported functions, got {", ".join(gone)}')
    return [random.Random(f'{seed} {c}').choice(groups[c]) for c in CHOSEN]


def sample(found, n, seed):
    "`n` mutants, a second one of a function only when every function has one."
    drawn = sorted(found, key=lambda m: random.Random(f'{seed} {m}').random())
    rounds = zip_longest(*by_function(drawn).values())
    return [m for r in rounds for m in r if m][:n]


def summary(rows):
    "How many mutants are noticed, and how."
    how = Counter(r['how'] for r in rows if r['how'])
    return dict(mutants=len(rows), noticed=how.total(), **how)


@call_parse
def main(only: str = None,  # break functions whose name begins so, store nothing
         show: str = None,  # list what can be changed in such functions
         n: int = 60,       # size of the sample
         seed: int = 0,     # of the sample
         most: int = 4,     # notebooks run for a mutant at most
         limit: int = 600,  # seconds a notebook may take
         out: str = 'results'):  # folder for `mutants.json`
    "Break functions, one at a time, and list which notebook notices."
    cfg = get_config()
    nbs = cfg.nbs_path.absolute()
    files = sorted(nbglob(nbs, as_path=True))
    found = [m for p in files for m in mutants_of(p, nbs)]
    if (begin := only if show is None else show) is not None:
        found = [m for m in found if m.function.startswith(begin)]
        if show is not None: print(*found, sep='\n'); return
        lists = dict(sample=sample(found, n, seed))
    else:
        first = chosen(found, seed)
        rest = [m for m in found if m not in first]
        lists = dict(chosen=first, sample=sample(rest, n, seed))
    result = dict(changes=len(found), functions=len(by_function(found)), seed=seed)
    sys.path.insert(0, str(cfg.config_path))
    keep = Rows(Path(out)/'mutants.parts', nbs) if only is None else None
    with tempfile.TemporaryDirectory() as folder:
        tree = Copy(Path(folder), limit)
        for part, ms in lists.items():
            rows = []
            for m in ms:
                judge = lambda m: tree.judge(m, testers(m, most))
                rows.append(r := keep(m, judge) if keep else judge(m))
                seen = r['how'] and f'{r["how"]} in {r["notices"]}'
                seen = seen or 'NOT NOTICED'
                print(f'{r["seconds"]:5.0f} s  {m}: {seen}', flush=True)
            result[part] = dict(summary(rows), rows=rows)
            print(part, summary(rows))
    if only is not None: return
    from calm_nb.reports import provenance, save_result
    how = dict(command='python tools/mutants.py', tiny=False,
               seconds=sum(r['seconds'] for p in lists for r in result[p]['rows']))
    result['provenance'] = how | provenance()
    save_result(Path(out)/'mutants.json', result)
    keep.path.unlink(missing_ok=True)
