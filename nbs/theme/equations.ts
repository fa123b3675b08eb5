// Quarto runs this after rendering: TeX becomes HTML and MathML here, so that a page needs no script for its equations.
// KaTeX (https://katex.org, MIT licence) lies in katex/, its style sheet with the woff2 fonts alone.
import "./katex/katex.min.js";

// deno-lint-ignore no-explicit-any
const katex = (globalThis as any).katex;
const plain = (html: string) =>
  html.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&amp;/g, "&");
const math = /(<span class="math (inline|display)"[^>]*>)\\[(\[]([\s\S]*?)\\[)\]]<\/span>/g;

for (const file of (Deno.env.get("QUARTO_PROJECT_OUTPUT_FILES") ?? "").split("\n").filter((f) => f.endsWith(".html"))) {
  const page = Deno.readTextFileSync(file);
  const done = page.replace(math, (_all, head, kind, tex) =>
    head + katex.renderToString(plain(tex), { displayMode: kind === "display", throwOnError: true, strict: false }) + "</span>");
  if (done !== page) Deno.writeTextFileSync(file, done);
}
