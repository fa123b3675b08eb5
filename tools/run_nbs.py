"""Run notebooks and store their outputs in place, with the cell rules of `nbdev_test`.

Cells with `#| eval: false` or with a flag of `tst_flags` not named in `--flags` are left as they are, outputs included;
every other code cell loses its old outputs and gets the new ones. The result is cleaned as `nbdev_clean` would.
"""
import os
import sys
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from fastcore.utils import str2bool, working_directory
from fastcore.script import call_parse
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor


def run_nb(fn, skip_flags, fmt='png', timeout=None):
    "Execute `fn`, write it back, and return whether every cell ran."
    fm = getattr(NBProcessor(fn, procs=FrontmatterProc, process=True).nb, 'frontmatter_', {})
    if str2bool(fm.get('skip_exec', False)): return True
    nb = NBProcessor(fn, rm_directives=False).nb

    def skip(cell):
        if cell.cell_type != 'code' or 'nbdev_export(' in cell.source: return True
        d = cell.directives_ or {}
        return d.get('eval:', [''])[0].lower() == 'false' or bool(skip_flags & d.keys())

    for cell in nb.cells:
        if not skip(cell) and cell.cell_type == 'code': cell.outputs = []
    k = CaptureShell(fn, mpl_format=fmt, timeout=timeout)
    try:
        with working_directory(fn.parent): k.run_all(nb, exc_stop=True, preproc=skip)
    except Exception:
        sys.stderr.write(k.prettytb(fname=fn) + '\n')
        return False
    cfg = get_config()
    clean_nb(nb, False, cfg.allowed_metadata_keys.split(), cfg.allowed_cell_metadata_keys.split(), cfg.clean_ids)
    write_nb(nb, fn)
    return True


@call_parse
def main(path: str = None,  # notebook or folder to run, default `nbs_path`
         flags: str = '',   # space separated test flags to run as well
         timeout: int = None):  # seconds a cell may take
    "Run notebooks and store their outputs."
    os.environ['IN_TEST'] = '1'
    cfg = get_config()
    sys.path.insert(0, str(cfg.config_path))
    skip_flags = set(cfg.tst_flags.split()) - set(flags.split())
    files = [o.absolute() for o in sorted(nbglob(path, as_path=True))]
    failed = [f.name for f in files if not run_nb(f, skip_flags, timeout=timeout)]
    if failed: sys.exit('failed: ' + ', '.join(failed))
