"""Write `nbs/sidebar.yml`: folders of notebooks are the parts of the book, notebooks its chapters, in the order of their names.

nbdev's own sidebar loses the numbers of folders and then names files that do not exist.
"""
import re

import yaml
from execnb.nbio import read_nb
from fastcore.script import call_parse
from nbdev.config import get_config

PARTS = {'1_paper': 'The paper', '2_library': 'The library', '3_experiments': "The paper's experiments",
         '4_beyond': 'Beyond the paper', '5_second_system': 'The second system', '6_speed': 'Speed'}


def title(path):
    "The first heading of a notebook."
    heads = (re.search(r'^# (.+)$', c.source, re.M) for c in read_nb(path).cells if c.cell_type == 'markdown')
    return next((m.group(1).strip() for m in heads if m), path.stem)


def number(path):
    "The chapter's number, which is that of its file."
    return int(path.name.partition('_')[0])


def sidebar(folder):
    "The text of the sidebar for a folder of notebooks."
    found = sorted(p.relative_to(folder) for p in folder.rglob('*.ipynb') if not re.search(r'(^|/)[_.]', str(p.relative_to(folder))))
    chapters = lambda part: [p for p in found if str(p.parent) == part]
    parts = sorted({str(p.parent) for p in found} - {'.'})
    contents = [dict(text='Overview', href='index.ipynb')] + [dict(text=title(folder/p), href=str(p)) for p in chapters('.') if p.stem != 'index']
    for part in parts:
        first, name = part.partition('_')[::2]
        entries = [dict(text=f'{first}.{number(p)} {title(folder/p)}', href=str(p)) for p in chapters(part)]
        contents.append(dict(section=f'{first} {PARTS.get(part, name.replace("_", " ").capitalize())}', contents=entries))
    return yaml.safe_dump(dict(website=dict(sidebar=dict(contents=contents))), sort_keys=False, allow_unicode=True, width=1000)


@call_parse
def main():
    "Write the sidebar."
    folder = get_config().nbs_path
    (folder/'sidebar.yml').write_text(sidebar(folder), encoding='utf-8')
