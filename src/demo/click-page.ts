// The demo's page: a button for each edge, and a log of the edge and the backend that served each click. It loads no other
// resource. Every edge is another origin (another port), and Skein's local replies carry no CORS header. So the page has a hidden
// frame for each edge, loaded through that edge, which sends requests to its own origin and posts the answers to the page.

import { clickScript } from './click-script.ts'

export interface PageEdge {
  readonly name: string
  readonly port: number
}

/** Content-Security-Policy: both pages load only each other and connect only to edges on this host. */
export const pagePolicy =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; " +
  "frame-src http://localhost:* http://127.0.0.1:*; base-uri 'none'; form-action 'none'"

/** The document of a hidden frame: sends requests to the edge that served it, on behalf of the page. */
export const framePage = `<!doctype html><meta charset="utf-8"><title>Skein demo: one edge</title>
<script>
const trusted = origin => { try { return new URL(origin).hostname === location.hostname } catch { return false } }
addEventListener('message', async event => {
  if (event.source !== parent || !trusted(event.origin)) return
  const { id, path } = event.data
  const answer = { id }
  try {
    const response = await fetch(path, { headers: { accept: 'application/json' }, cache: 'no-store' })
    const text = await response.text()
    Object.assign(answer, { status: response.status, retryAfter: response.headers.get('retry-after'), text })
  } catch {
    answer.error = 'the edge does not answer'
  }
  parent.postMessage(answer, event.origin)
})
parent.postMessage({ ready: true }, '*')
</script>
`

/** The page. Without edges its only button is for the edge that served it. */
export function clickPage(edges: readonly PageEdge[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Skein demo: who served this click?</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Who served this click?</h1>
<p>Each button sends a request through one edge. The log shows the edge and the backend of each click, and marks a change of backend.
Kill edges and backends in the terminal meanwhile.</p>
<fieldset>
<legend>Service</legend>
<label><input type="radio" name="mode" value="turns" checked> by turns</label>
<label><input type="radio" name="mode" value="sticky"> sticky cookie</label>
<label><input type="radio" name="mode" value="shop"> learned session</label>
<label><input type="radio" name="mode" value="fragile"> breaker</label>
</fieldset>
<p id="about"></p>
<div id="edges" role="group" aria-label="Send a click"></div>
<div role="group" aria-label="Session and service">
<button type="button" id="fresh">New session <kbd>n</kbd></button>
<button type="button" id="harm" aria-pressed="false" hidden>Break the backends <kbd>b</kbd></button>
</div>
<p id="sum" role="status"></p>
<table>
<caption>Clicks, newest first</caption>
<thead><tr>${['Time', 'Edge', 'Backend', 'Session', 'Note'].map(name => `<th scope="col">${name}</th>`).join('')}</tr></thead>
<tbody id="log"></tbody>
</table>
</main>
<script>
const edges = ${JSON.stringify(edges)}
${clickScript}
</script>
</body>
</html>
`
}

const style = `
:root { color-scheme: light dark; --ink: #1b2330; --paper: #fff; --soft: #eef1f5; --line: #6b7685; --go: #0b57a4; --on: #fff;
  --mark: #ffe0b3; --markink: #5c2e00; --bad: #ffd6d6; --badink: #7a0c0c }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf4; --paper: #12171f; --soft: #1d2530; --line: #8b98a9; --go: #7ab8ff;
  --on: #06203d; --mark: #5a3a08; --markink: #ffe0b3; --bad: #5c1717; --badink: #ffd6d6 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem; margin: 0 0 .5rem }
fieldset, [role=group] { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 .75rem; padding: 0; border: 0 }
legend { float: left; padding: .5rem .5rem 0 0; font-weight: 600 }
label, button { min-height: 44px; padding: .5rem .75rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--soft) }
button { font: inherit; color: inherit; cursor: pointer }
#edges button { background: var(--go); color: var(--on); border-color: var(--go) }
button[aria-pressed=true] { background: var(--bad); color: var(--badink) }
:focus-visible { outline: 3px solid var(--go); outline-offset: 2px }
kbd { font: .85em ui-monospace, monospace; border: 1px solid; border-radius: .25rem; padding: 0 .3em }
table { width: 100%; border-collapse: collapse }
caption { text-align: left; font-weight: 600; padding: .25rem 0 }
th, td { text-align: left; padding: .25rem .5rem .25rem 0; border-bottom: 1px solid var(--soft) }
td { font-family: ui-monospace, monospace; font-size: .9rem }
.moved { background: var(--mark); color: var(--markink); border-radius: .25rem; padding: 0 .4em }
.bad { background: var(--bad); color: var(--badink); border-radius: .25rem; padding: 0 .4em }
iframe { display: none }
@media (max-width: 40rem) {
  legend { float: none; width: 100%; padding: 0 }
  kbd { display: none }
  thead { position: absolute; clip-path: inset(50%) }
  tr { display: grid; grid-template-columns: auto auto 1fr; border-bottom: 1px solid var(--line) }
  td { border: 0; padding: .1rem .5rem .1rem 0 }
  td:nth-child(4) { grid-column: 1 / 3 }
}
`
