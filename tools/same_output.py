"""Whether the outputs of a cell agree with those stored in its notebook.

- Text agrees if it is the same but for blanks, numbers in it taken apart.
- Whole numbers agree if they are equal. Other numbers agree within one in a
  thousand, or one unit in the last digit shown, or if both are rounding errors,
  less than 1e-9. Tables are compared cell by cell.
- Pictures agree if their sizes do (2 %) and their thumbnails, 16x16 pixels of
  grey (1 % in root mean square; a line drawn the other way round gives 1.8 %).
- What goes to stderr, and line numbers in links to source, are not compared.

An option of the cell says that its outputs depend on the machine: `#| varies: 0.05`
allows that relative difference for all numbers in them, `#| varies: true` any text
and picture of the same kind.
"""
import base64
import io
import re
from itertools import zip_longest

import numpy as np
from PIL import Image

RTOL, NOISE, THUMBNAIL, GREY, SIZE = 1e-3, 1e-9, 16, .01, .02
NUMBER = re.compile(r'(?<![\w.])[-+−]?'    # a sign, not after a name
                    r'(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:[eE][-+]?\d+)?'
                    r'|(?<![\w.])[-+−]?\.\d+(?:[eE][-+]?\d+)?')
EMBEDDED = re.compile(r'data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=\\\s]+)')
LINES = re.compile(r'(\.py)#L\d+')


def value(number):
    """Value of a printed number, and of a unit in its last digit; 0 if it is whole.

    >>> value('1,297'), value('-.50'), value('2.5e-06')
    ((1297.0, 0), (-0.5, 0.01), (2.5e-06, 1e-07))
    """
    number = number.replace(',', '').replace('−', '-')
    digits, _, exponent = number.lower().partition('e')
    if not set('.e') & set(number.lower()): return float(number), 0
    places = len(digits.partition('.')[2])
    return float(number), float(f'1e{int(exponent or 0) - places}')


def same_number(a, b, rtol=None):
    """Whether two printed numbers agree.

    >>> same_number('1297', '1298'), same_number('94.82', '94.83')
    (False, True)
    >>> same_number('94.8', '95.2')
    False
    >>> same_number('46.4', '774.0', .05), same_number('100', '104', .05)
    (False, True)
    >>> same_number('5e-14', '-2e-16'), same_number('5e-14', '2e-8')
    (True, False)
    """
    (x, unit), (y, other) = value(a), value(b)
    if rtol is None:
        if not unit and not other: return x == y
        rtol = RTOL
    if max(abs(x), abs(y)) < NOISE: return True
    unit = min(u for u in (unit, other) if u) if unit or other else 0
    return abs(x - y) <= (rtol*max(abs(x), abs(y)) + unit)*(1 + 1e-9)


def same_text(a, b, rtol=None):
    """Whether two pieces of text agree.

    >>> same_text('took  3 days', 'took 3 days'), same_text('3 days', '3 years')
    (True, False)
    >>> same_text('float32', 'float64'), same_text('(3, .1234)', '(3, .1235)')
    (False, True)
    """
    def words(text):
        return [re.sub('-{3,}', '---', w).split() for w in NUMBER.split(text)]
    if words(a) != words(b): return False
    numbers = zip(NUMBER.findall(a), NUMBER.findall(b))
    return all(same_number(x, y, rtol) for x, y in numbers)


def fields(text):
    """Lines of a text, and cells of its tables, by their places.

    >>> fields('x | y\\n| a | 3.5 |')
    {'line 1': 'x | y', 'line 2, column 1': 'a', 'line 2, column 2': '3.5'}
    """
    found = {}
    for i, line in enumerate(text.strip().splitlines(), 1):
        if not line.startswith('|'): found[f'line {i}'] = line; continue
        for j, cell in enumerate(line.strip().strip('|').split('|'), 1):
            found[f'line {i}, column {j}'] = cell.strip()
    return found


def short(text):
    if text is None: return 'nothing'
    return repr(text if len(text) < 70 else text[:67] + '...')


def text_differences(a, b, rtol=None):
    """Where two texts differ.

    >>> list(text_differences('| k-means | 46.4 |', '| k-means | 774.2 |'))
    ["line 1, column 2: stored '46.4', now '774.2'"]
    """
    a, b = (fields(LINES.sub(r'\1', t)) for t in (a, b))
    for place in dict.fromkeys([*a, *b]):
        x, y = a.get(place), b.get(place)
        if x is None or y is None or not same_text(x, y, rtol):
            yield f'{place}: stored {short(x)}, now {short(y)}'


def thumbnail(picture):
    "Size and a few grey values, from 0 to 1, of an encoded picture laid on white."
    image = Image.open(io.BytesIO(picture)).convert('RGBA')
    flat = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    small = flat.convert('L').resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return image.size, np.asarray(small)/255


def picture_differences(a, b):
    "What two encoded pictures do not share."
    if a == b: return
    (size, grey), (other, now) = map(thumbnail, (a, b))
    if any(abs(x - y) > SIZE*max(x, y) for x, y in zip(size, other)):
        yield f'picture: stored {size[0]}x{size[1]}, now {other[0]}x{other[1]}'
    elif (far := ((grey - now)**2).mean()**.5) > GREY:
        yield f'picture: its {THUMBNAIL}x{THUMBNAIL} greys differ by {far:.1%}'


def parts(outputs):
    "Text and pictures of a list of outputs, each with its kind, in order."
    found = []
    def add(kind, content):
        if kind == 'stdout' and found and found[-1][0] == kind:
            content = found.pop()[1] + content
        found.append((kind, content))
    for o in outputs:
        if o['output_type'] == 'stream':
            if o['name'] == 'stdout': add('stdout', ''.join(o['text']))
            continue
        for kind, content in sorted(o.get('data', {}).items()):
            text = ''.join(content) if isinstance(content, list) else str(content)
            if kind in ('image/png', 'image/jpeg'):
                add(kind, base64.b64decode(text))
                continue
            add(kind, EMBEDDED.sub('picture', text))
            for code in EMBEDDED.findall(text):
                code = re.sub(r'[\\\s]', '', code)
                add('embedded picture', base64.b64decode(code))
    return found


def differences(stored, now, varies=None):
    "Where the outputs that a cell gives differ from those that are stored."
    stored, now = parts(stored), parts(now)
    kinds = [[k for k, _ in o] for o in (stored, now)]
    if kinds[0] != kinds[1]:
        a, b = (' and '.join(k) or 'nothing' for k in kinds)
        yield f'stored {a}, now {b}'
        return
    if varies is True: return
    for (_, a), (_, b) in zip(stored, now):
        if isinstance(a, bytes): yield from picture_differences(a, b)
        else: yield from text_differences(a, b, varies)


def varies(options):
    """The cell's option `varies`: None, True, or a relative tolerance.

    >>> varies({}), varies({'varies:': ['true']}), varies({'varies:': ['0.05']})
    (None, True, 0.05)
    """
    if 'varies:' not in options: return None
    text = ' '.join(options['varies:'])
    if text == 'true': return True
    try: rtol = float(text)
    except ValueError: rtol = 0
    if 0 < rtol < 1: return rtol
    raise ValueError(f'varies: expected true or a number from 0 to 1, got {text!r}')
