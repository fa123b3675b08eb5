"""Run notebooks as `nbdev_test` does, and store their outputs or compare them.

Cells with `#| eval: false` or with a flag of `tst_flags` not named in `--flags` are
left as they are, outputs included; every other code cell is run. Without `--check`
its outputs replace the stored ones, and the notebook is cleaned as `nbdev_clean`
would. With `--check` nothing is written: a notebook fails if a cell does, as in
`nbdev_test`, or if what a cell gives is not what is stored (`same_output.py` says
when it is). Each notebook has a process of its own. The exit status is 1 if a cell
failed, 2 if outputs are stale and nothing else is wrong.
"""
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from fastcore.script import call_parse
from fastcore.utils import str2bool, working_directory
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor

sys.path.insert(0, str(Path(__file__).resolve().parent))
from same_output import differences, varies


def skipped(cell, skip_flags):
    "Whether `nbdev_test` would not run this cell."
    if cell.cell_type != 'code' or 'nbdev_export(' in cell.source: return True
    d = cell.directives_ or {}
    return d.get('eval:', [''])[0].lower() == 'false' or bool(skip_flags & d.keys())


def execute(fn, skip_flags, fmt='png', timeout=None):
    "The notebook `fn` with new outputs, cleaned; None if it is not to be run."
    front = NBProcessor(fn, procs=FrontmatterProc, process=True).nb
    front = getattr(front, 'frontmatter_', {})
    if str2bool(front.get('skip_exec', False)): return None
    nb = NBProcessor(fn, rm_directives=False).nb
    for cell in nb.cells:
        if not skipped(cell, skip_flags): cell.outputs = []
    k = CaptureShell(fn, mpl_format=fmt, timeout=timeout)
    try:
        with working_directory(fn.parent):
            k.run_all(nb, exc_stop=True, preproc=lambda c: skipped(c, skip_flags))
    except BaseException:
        sys.stderr.write(k.prettytb(fname=fn) + '\n')
        raise
    cfg = get_config()
    clean_nb(nb, False, cfg.allowed_metadata_keys.split(),
             cfg.allowed_cell_metadata_keys.split(), cfg.clean_ids)
    return nb


def stale(fn, nb):
    "A line for each output of `nb` that differs from what `fn` stores."
    for old, new in zip(read_nb(fn).cells, nb.cells):
        if new.cell_type != 'code': continue
        outputs = (c.get('outputs', []) for c in (old, new))
        try: found = list(differences(*outputs, varies(new.directives_ or {})))
        except ValueError as e: found = [str(e)]
        yield from (f'{fn.name}, cell {new.id}: {d}' for d in found[:5])
        if found[5:]: yield f'{fn.name}, cell {new.id}: and {len(found) - 5} more'


def run_nb(fn, skip_flags, check=False, timeout=None):
    "Exit status: 1 if a cell failed, 2 if with `check` one gave anything else."
    try: nb = execute(fn, skip_flags, timeout=timeout)
    except Exception: return 1
    if nb is None: return 0
    if not check: write_nb(nb, fn); return 0
    wrong = list(stale(fn, nb))
    if wrong: print('\n'.join(wrong))
    return 2 if wrong else 0


def run_apart(fn, flags, check, timeout):
    "Run a notebook in a process of its own: exit status, what it printed, seconds."
    command = [sys.executable, __file__, '--path', str(fn), '--flags', flags]
    if check: command += ['--check']
    if timeout: command += ['--timeout', str(timeout)]
    start = time.time()
    done = subprocess.run(command, text=True, errors='replace',
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout, time.time() - start


@call_parse
def main(path: str = None,  # notebook or folder to run, default `nbs_path`
         flags: str = '',   # space separated test flags to run as well
         check: bool = False,  # compare with the stored outputs, write nothing
         n_workers: int = 2,  # notebooks run at the same time
         timeout: int = None,  # seconds a cell may take
         order: int = None):  # seed of a random order of the notebooks
    "Run notebooks and store their outputs, or check the stored ones."
    os.environ['IN_TEST'] = '1'
    cfg = get_config()
    sys.path.insert(0, str(cfg.config_path))
    skip_flags = set(cfg.tst_flags.split()) - set(flags.split())
    files = [o.absolute() for o in sorted(nbglob(path, as_path=True))]
    if not files: sys.exit(f'path: expected a notebook or a folder, got {path}')
    if order is not None: random.Random(order).shuffle(files)
    if len(files) == 1: sys.exit(run_nb(files[0], skip_flags, check, timeout))
    failed, stale = [], []
    with ThreadPoolExecutor(n_workers) as pool:
        runs = {pool.submit(run_apart, f, flags, check, timeout): f for f in files}
        for done in as_completed(runs):
            status, text, seconds = done.result()
            name = os.path.relpath(runs[done], cfg.nbs_path)
            word = {0: 'ok', 1: 'FAILED', 2: 'STALE'}.get(status, 'DIED')
            print(f'{word:6} {seconds:5.0f} s  {name}\n{text}'.rstrip(), flush=True)
            if status: (stale if status == 2 else failed).append(name)
    good = 'give what they store' if check else 'were run and stored'
    bad = len(failed) + len(stale)
    print(f'{len(files) - bad} of {len(files)} notebooks {good}')
    if stale: print('stale: ' + ', '.join(sorted(stale)))
    if failed: sys.exit('failed: ' + ', '.join(sorted(failed)))
    if stale: sys.exit(2)
