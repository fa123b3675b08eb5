"""Break exported functions one at a time and list which notebook notices.

A mutant is one change in the body of one function: a sign or an operation turned round, an axis moved,
a whole number or a comparison off by one, a term or a factor dropped. It is made in the notebook that
defines the function, in a copy of the tree, and exported. Then that notebook is run, and after it those
whose checks name the function, until one of them notices: a cell fails, or what it gives is not what
is stored. `results/mutants.json` has a row for each.

    python tools/mutants.py                  forty chosen functions and a sample, changes drawn with a seed
    python tools/mutants.py --only em.steps  mutants of some functions, printed and not stored
    python tools/mutants.py --show em.steps  the changes that could be made there, and nothing else
"""
import ast
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from fastcore.script import call_parse
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import NBProcessor

CHOSEN = '''
models.patch:log_normal models.patch:patch_score models.patch:log_posterior_location models.patch:embed
models.mixture:PatchMixture.score models.mixture:PatchMixture.log_evidence models.mixture:PatchMixture.coverage
models.mixture:PatchMixture.energy models.mixture:PatchMixture.sample models.mixture:windows
em.steps:weighted_patch_sum em.steps:PatchMixture.chunk_stats em.steps:PatchMixture.m_step em.steps:SufficientStats.__add__
em.driver:has_converged em.recentre:PatchMixture.recentred em.repair:PatchMixture.restarted em.algorithms:growing_sets
features.pooling:accuracy features.pooling:max_pool features.classifiers:LinearSVM.fit features.classifiers:gaussian_ridge
features.patch_codes:patch_norm features.patch_codes:unit_shapes features.whitened:triangle features.whitened:Layer.features
images.arrays:as_images images.arrays:raw_batches images.preprocess:PatchZCA.fit images.preprocess:sphere_rows
images.preprocess:orientation_channels backends.fast:fft_score backends.fast:unfold_score backends.fast:paper_stats
models.gaussian:GaussianMixture.log_density models.gaussian:GaussianMixture.m_step
models.stationary:StationaryMixture.log_density models.shifted:ShiftedMixture.by_shift
estimator:CALM.bic estimator:CALM.to_conv2d
'''.split()    # functions; which change is made in them, the seed decides
EQUIVALENT = {    # function, old and new: changes that leave what is computed as it is, and why
}
REDUCE = {'sum', 'mean', 'logsumexp', 'softmax', 'log_softmax', 'amax', 'amin', 'max', 'min', 'argmax', 'argmin', 'norm',
          'cumsum', 'flatten', 'unflatten', 'cat', 'stack', 'concat', 'var', 'std', 'unsqueeze', 'squeeze', 'select', 'flip',
          'transpose', 'movedim', 'diff', 'roll', 'index_select', 'gather', 'topk', 'sort', 'unbind', 'prod', 'all', 'any'}
TURNED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Pow: ast.Mult}
SHIFTED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
REVERSED = SHIFTED | {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}    # for fractions, which are hardly ever equal


@dataclass(frozen=True)
class Mutant:
    "One change of one function."
    name: str           # module:function or module:Class.method, then #n, the n-th change that can be made
    notebook: str       # that defines it, by its path in `nbs`
    cell: str           # id of the cell
    change: str         # kind of change
    old: str
    new: str
    start: int          # where `old` stands in the source of the cell
    line: int = 0


def whole(node):
    "Whether a node is a whole number, True and False apart."
    return isinstance(node, ast.Constant) and type(node.value) is int


def axis_numbers(call):
    "Numbers of axes among the arguments of a call."
    name = getattr(call.func, 'attr', getattr(call.func, 'id', ''))
    places = [k.value for k in call.keywords if k.arg in ('dim', 'axis', 'dims', 'start_dim')]
    if name in REDUCE: places += call.args
    for p in places:
        for e in p.elts if isinstance(p, ast.Tuple) else [p]:
            if whole(e) or isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub) and whole(e.operand): yield e


def changes(node, is_axis):
    "Kind and new node for every change that can be made at a node."
    if is_axis:
        n = -node.operand.value if isinstance(node, ast.UnaryOp) else node.value
        yield 'axis', ast.Constant(n - 1 if n > 0 else 1 if n == 0 else -2 if n == -1 else n + 1)
    elif whole(node): yield 'off by one', ast.Constant(node.value + 1)
    elif isinstance(node, ast.BinOp):
        if type(node.op) in TURNED: yield 'operation', ast.BinOp(node.left, TURNED[type(node.op)](), node.right)
        if type(node.op) in (ast.Add, ast.Sub, ast.Mult, ast.Div): yield 'dropped', node.left
        if type(node.op) in (ast.Add, ast.Mult): yield 'dropped', node.right
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub): yield 'sign', node.operand
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SHIFTED:
        fraction = any(isinstance(n, ast.Constant) and type(n.value) is float for n in [node.left, node.comparators[0]])
        yield 'comparison', ast.Compare(node.left, [(REVERSED if fraction else SHIFTED)[type(node.ops[0])](), *node.ops[1:]], node.comparators)


def nodes(function):
    "Nodes of a function's body in which a change means something: no text, no messages of errors, no annotations; and whether one is an axis."
    stack, axes = list(function.body)[::-1], set()
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.JoinedStr, ast.Raise)): continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant): continue
        if isinstance(node, ast.Call): axes |= set(axis_numbers(node))
        yield node, node in axes
        if node in axes: continue
        inner = [c for f, v in ast.iter_fields(node) if f not in ('annotation', 'returns', 'decorator_list')
                 for c in (v if isinstance(v, list) else [v]) if isinstance(c, ast.AST)]
        stack += inner[::-1]


def functions(tree):
    "Functions and methods of a cell by name; a function patched into a class goes by the class's."
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            first = node.args.args[0].annotation if node.args.args else None
            patched = any('patch' in ast.unparse(d) for d in node.decorator_list)
            yield (f'{ast.unparse(first)}.{node.name}' if patched and first else node.name), node
        elif isinstance(node, ast.ClassDef):
            yield from ((f'{node.name}.{m.name}', m) for m in node.body if isinstance(m, ast.FunctionDef))


def offsets(source):
    "Where each line of a text begins."
    starts = [0]
    for line in source.splitlines(True): starts.append(starts[-1] + len(line))
    return starts


def mutants_of(path, nbs):
    "All changes that can be made in the exported cells of a notebook."
    nb = NBProcessor(path, rm_directives=False).nb
    found = [o for c in nb.cells if c.cell_type == 'code' and (o := (c.directives_ or {}).get('default_exp'))]
    module = found[0][0] if found else None
    count = {}
    for cell in nb.cells:
        if cell.cell_type != 'code' or not {'export', 'exports', 'exporti'} & (cell.directives_ or {}).keys() or not module: continue
        if 'eval:' in cell.directives_: continue
        lines = offsets(cell.source)
        at = lambda line, col: lines[line - 1] + len(cell.source[lines[line - 1]:].encode()[:col].decode())
        for name, function in functions(ast.parse(cell.source)):
            for node, is_axis in nodes(function):
                if not hasattr(node, 'lineno'): continue
                for kind, new in changes(node, is_axis):
                    start, end = at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)
                    old, text = cell.source[start:end], ast.unparse(ast.fix_missing_locations(copy.deepcopy(new)))
                    if isinstance(new, (ast.BinOp, ast.Compare)): text = f'({text})'
                    full = f'{module}:{name}'
                    count[full] = count.get(full, 0) + 1
                    yield Mutant(f'{full}#{count[full]}', path.relative_to(nbs).as_posix(), cell.id, kind, old, text, start, node.lineno)


class Copy:
    "A copy of the tree in which functions are broken and notebooks are run."
    def __init__(self, folder, limit):
        cfg = get_config()
        self.cfg, self.folder, self.limit, self.sound = cfg, folder, limit, {}
        shutil.copytree(cfg.config_path, folder, dirs_exist_ok=True, symlinks=True,
                        ignore=shutil.ignore_patterns('.git', '.venv', '__pycache__', '_docs', '_proc', 'build', '.hypothesis', '*.egg-info'))
        self.nbs = folder/cfg.nbs_path.name

    def export(self): subprocess.run([shutil.which('nbdev_export')], cwd=self.folder, env=self.env, check=True, capture_output=True)

    @property
    def env(self): return os.environ | dict(PYTHONPATH=str(self.folder))

    def run(self, notebook):
        "'' if the notebook runs and gives what it stores, else what is wrong."
        command = [sys.executable, 'tools/run_nbs.py', '--check', '--path', str(self.nbs/notebook)]
        try: done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, errors='replace', timeout=self.limit)
        except subprocess.TimeoutExpired: return 'a cell does not end'
        return {0: '', 2: 'an output differs'}.get(done.returncode, 'a cell fails')

    def baseline(self, notebook):
        "What is wrong with the notebook before anything is broken."
        if notebook not in self.sound: self.sound[notebook] = self.run(notebook)
        return self.sound[notebook]

    def broken(self, mutant):
        "Break a function, and export it."
        path = self.nbs/mutant.notebook
        nb = read_nb(path)
        cell = next(c for c in nb.cells if c.id == mutant.cell)
        end = mutant.start + len(mutant.old)
        assert cell.source[mutant.start:end] == mutant.old, mutant
        cell.source = cell.source[:mutant.start] + mutant.new + cell.source[end:]
        write_nb(nb, path)
        self.export()

    def mend(self, mutant):
        shutil.copy(self.cfg.nbs_path/mutant.notebook, self.nbs/mutant.notebook)

    def judge(self, mutant, notebooks):
        "The row of a mutant: the notebook that notices it, and how; None if none does, or if it has the same fault by itself."
        start, row = time.time(), dict(asdict(mutant), notices=None, how=None, tried=[])
        try:
            self.broken(mutant)
            for n in notebooks:
                how = self.run(n)
                row['tried'].append(n)
                if how: break
        finally: self.mend(mutant); self.export()
        if how and how != self.baseline(n): row |= dict(notices=n, how=how)
        return row | dict(seconds=round(time.time() - start, 1))


def testers(mutant, most):
    "The notebook that defines a function, then those whose checks name it, nearest first."
    cfg = get_config()
    files = [p.relative_to(cfg.nbs_path).as_posix() for p in sorted(nbglob(cfg.nbs_path, as_path=True))]
    name = function_of(mutant).rpartition(':')[2].rpartition('.')[2]
    def named(f):
        cells = NBProcessor(cfg.nbs_path/f, rm_directives=False).nb.cells
        return any(re.search(rf'\b{re.escape(name)}\b', c.source) for c in cells if c.cell_type == 'code' and
                   not {'export', 'exports', 'slow', 'data'} & (c.directives_ or {}).keys())
    here = files.index(mutant.notebook)
    others = sorted((f for f in files if f != mutant.notebook and named(f)), key=lambda f: abs(files.index(f) - here))
    return [mutant.notebook, *others][:most]


def function_of(mutant): return mutant.name.partition('#')[0]


def chosen(found, seed):
    "A mutant of each chosen function."
    by_function = {}
    for m in found: by_function.setdefault(function_of(m), []).append(m)
    if gone := [c for c in CHOSEN if c not in by_function]: sys.exit(f'CHOSEN: expected exported functions, got {", ".join(gone)}')
    return [random.Random(f'{seed} {c}').choice(by_function[c]) for c in CHOSEN]


def sample(found, n, seed):
    "`n` mutants, at most one a function until every function has one."
    draw = random.Random(seed)
    by_function = {}
    for m in draw.sample(found, len(found)): by_function.setdefault(function_of(m), []).append(m)
    rounds = list(by_function.values())
    order = [ms[i] for i in range(max(map(len, rounds), default=0)) for ms in rounds if i < len(ms)]
    return order[:n]


@call_parse
def main(only: str = None,  # break functions whose name begins so, and print what notices; nothing is stored
         show: str = None,  # list the changes that can be made in functions whose name begins so
         n: int = 120,      # size of the sample
         seed: int = 0,     # of the sample
         most: int = 4,     # notebooks run for a mutant at most
         limit: int = 600,  # seconds a notebook may take
         out: str = 'results'):  # folder for `mutants.json`
    "Break functions, one at a time, and list which notebook notices."
    cfg = get_config()
    sys.path.insert(0, str(cfg.config_path))
    found = [m for p in sorted(nbglob(cfg.nbs_path, as_path=True)) for m in mutants_of(p.absolute(), cfg.nbs_path.absolute())
             if (function_of(m), m.old, m.new) not in EQUIVALENT]
    if show is not None:
        for m in found:
            if m.name.startswith(show): print(f'{m.name:50} {m.change:10} {m.old!r} -> {m.new!r}')
        return
    if only is not None: lists = dict(sample=sample([m for m in found if m.name.startswith(only)], n, seed))
    else:
        first = chosen(found, seed)
        lists = dict(chosen=first, sample=sample([m for m in found if m not in first], n, seed))
    start, rows = time.time(), {}
    with tempfile.TemporaryDirectory() as folder:
        tree = Copy(Path(folder), limit)
        for part, ms in lists.items():
            rows[part] = []
            for m in ms:
                rows[part].append(r := tree.judge(m, testers(m, most)))
                print(f'{r["seconds"]:5.0f} s  {m.name:46} {m.change:10} {m.old!r} -> {m.new!r}: {r["how"] or "NOT NOTICED"} {r["notices"] or r["tried"]}', flush=True)
    for part, rs in rows.items(): print(f'{part}: {sum(r["notices"] is not None for r in rs)} of {len(rs)} noticed')
    if only is None:
        from calm_nb.reports import provenance, save_result
        save_result(Path(out)/'mutants.json', dict(rows, changes=len(found), functions=len(set(map(function_of, found))), seed=seed,
                                                   provenance=dict(command='python tools/mutants.py', tiny=False, seconds=round(time.time() - start, 1)) | provenance()))
