"""A folder served as GitHub Pages would, gzip included, and pages of it in headless Chromium: for checks."""
import gzip
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import sync_playwright

TEXT = ('.html', '.css', '.js', '.json', '.svg', '.xml', '.txt')


class _Handler(SimpleHTTPRequestHandler):
    "Files below `base`, text compressed."
    def __init__(self, *args, base, **kwargs): self.base = base; super().__init__(*args, **kwargs)
    def log_message(self, *args): pass
    def do_GET(self):
        if not self.path.startswith(self.base + '/'): return self.send_error(404)
        self.path = self.path[len(self.base):]
        file = self.translate_path(self.path)
        if not file.endswith(TEXT): return super().do_GET()
        try:
            with open(file, 'rb') as f: body = gzip.compress(f.read())
        except OSError: return self.send_error(404)
        self.send_response(200)
        for k, v in {'Content-Type': self.guess_type(file), 'Content-Encoding': 'gzip', 'Content-Length': str(len(body))}.items(): self.send_header(k, v)
        self.end_headers()
        try: self.wfile.write(body)
        except ConnectionError: pass    # the page was closed


@contextmanager
def served(folder, base=''):
    "Serve a folder on this machine alone; yields its address."
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(_Handler, directory=str(folder), base=base.rstrip('/')))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}{base.rstrip("/")}'
    finally: server.shutdown()


@contextmanager
def chromium():
    "The system's Chromium without a window."
    path = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if path is None: raise SystemExit('chromium: expected it on the PATH, found none; apt-get install chromium')
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=path, args=['--no-sandbox'])
        try: yield b
        finally: b.close()


class Visit:
    "One load of a page, nothing cached: what it asked for, how much came, and what it said."
    def __init__(self, browser, url, width=1400, height=900, script=True, **kwargs):
        self.said, self.asked, self.sizes, self.failed = [], [], [], []
        self.context = browser.new_context(viewport=dict(width=width, height=height), java_script_enabled=script, **kwargs)
        self.page = self.context.new_page()
        self.page.on('console', lambda m: self.said.append(m.text))
        self.page.on('pageerror', lambda e: self.said.append(str(e)))
        self.page.on('request', lambda r: self.asked.append(r.url))
        self.page.on('response', self.arrived)
        self.page.goto(url)
        if script: self.page.wait_for_load_state('networkidle')
    def arrived(self, r):
        if r.status >= 400: self.failed.append(r.url)
        self.sizes.append(int(r.headers.get('content-length', 0)))
    def __enter__(self): return self.page
    def __exit__(self, *args): self.context.close()
