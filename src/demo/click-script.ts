// The script of the demo's page: sends clicks through the frames of the edges and writes the log. The page defines `edges`
// ({ name, port }). Data from answers is inserted as text only.

export const clickScript = `
const about = {
  turns: 'No session: each click goes to the next backend.',
  sticky: 'Skein sets a cookie (goose) that names the backend by a keyed hash; every edge understands it.',
  shop: 'The application makes its own session (JSESSIONID); Skein learns it, and the edges share it.',
  fragile: 'Break the backends, then send twenty: once enough requests have failed, the breaker opens on every edge: 503 by Skein.',
}
const sessions = { sticky: 'goose', shop: 'JSESSIONID' }
const kept = 200
const make = (tag, properties) => Object.assign(document.createElement(tag), properties)
const $ = id => document.getElementById(id)
const mode = () => document.querySelector('input[name=mode]:checked').value
const last = {}, waiting = new Map()
let clicks = 0, moves = 0, failed = 0, ids = 0, busy = false, broken = false
if (edges.length === 0) edges.push({ name: 'this edge', port: Number(location.port || 80) })

for (const edge of edges) {
  edge.origin = 'http://' + location.hostname + ':' + edge.port
  edge.frame = document.createElement('iframe')
  edge.frame.title = edge.name
  edge.frame.src = edge.origin + '/frame'
  document.body.append(edge.frame)
}
addEventListener('message', event => {
  const edge = edges.find(one => one.origin === event.origin && one.frame.contentWindow === event.source)
  if (edge === undefined) return
  if (event.data.ready) { edge.ready = true; edge.whenReady?.() }
  waiting.get(event.data.id)?.(event.data)
})

/** Resolves with whether the frame of an edge is loaded. A frame that failed to load, because its edge was down, is loaded again. */
function ready(edge) {
  if (edge.ready) return Promise.resolve(true)
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve(false), 3000)
    edge.whenReady = () => { clearTimeout(timer); resolve(true) }
    edge.frame.src = edge.origin + '/frame'
  })
}

async function ask(edge, path) {
  if (!await ready(edge)) return { error: 'the edge does not answer' }
  const id = ++ids
  return new Promise(resolve => {
    const timer = setTimeout(() => { edge.ready = false; done({ error: 'no answer for 15 s' }) }, 15000)
    const done = answer => { clearTimeout(timer); waiting.delete(id); resolve(answer) }
    waiting.set(id, done)
    edge.frame.contentWindow.postMessage({ id, path }, edge.origin)
  })
}

function cookie(name) {
  const found = document.cookie.split('; ').find(pair => pair.startsWith(name + '='))
  return found === undefined ? '' : found.slice(name.length + 1)
}

async function click(edge) {
  const chosen = mode()
  const answer = await ask(edge, '/' + chosen)
  let body = null
  try { body = JSON.parse(answer.text) } catch {}
  const session = sessions[chosen] === undefined ? '' : cookie(sessions[chosen])
  const backend = body?.task ?? ''
  const notes = []
  clicks++
  if (answer.error !== undefined) notes.push(['bad', answer.error])
  else if (body === null) {
    const after = answer.retryAfter ? ', retry in ' + answer.retryAfter + ' s' : ''
    notes.push(['bad', answer.status + ' by Skein' + after])
  } else if (answer.status !== 200) notes.push(['bad', answer.status + ' by the backend'])
  if (notes.length > 0) failed++
  if (backend !== '' && (last[chosen] ?? backend) !== backend) {
    moves++
    notes.push(['moved', 'backend changed'])
  }
  if (backend !== '') last[chosen] = backend
  const row = make('tr', {})
  const time = new Date().toTimeString().slice(0, 8)
  const cells = [time, body?.edge ?? edge.name, backend || '-', session.slice(-8) || '-']
  for (const textContent of cells) row.append(make('td', { textContent }))
  const cell = make('td', {})
  for (const [className, textContent] of notes) cell.append(make('span', { className, textContent }), ' ')
  row.append(cell)
  $('log').prepend(row)
  while ($('log').rows.length > kept) $('log').lastChild.remove()
  const plural = (n, what) => n + ' ' + what + (n === 1 ? '' : 's')
  $('sum').textContent = plural(clicks, 'click') + ', ' + plural(moves, 'change') + ' of backend, ' + failed + ' went wrong'
}

async function inTurn(count) {
  if (busy) return
  busy = true
  for (let i = 0; i < count; i++) {
    await click(edges[i % edges.length])
    // The pause lets a person follow, and the edges exchange the session.
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  busy = false
}

function button(text, key, run) {
  const made = make('button', { type: 'button', textContent: text + ' ', onclick: run })
  made.append(make('kbd', { textContent: key }))
  $('edges').append(made)
  keys[key] = run
}
const keys = { n: () => $('fresh').click(), b: () => { if (!$('harm').hidden) $('harm').click() } }
edges.forEach((edge, i) => button(edge.name + ' :' + edge.port, String(i + 1), () => click(edge)))
button('twenty, in turn', 't', () => inTurn(20))
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return
  keys[event.key]?.()
})

$('fresh').onclick = () => {
  for (const name of Object.values(sessions)) document.cookie = name + '=; Path=/; Max-Age=0'
  for (const chosen of Object.keys(last)) delete last[chosen]
  $('sum').textContent = 'the next click begins a new session'
}
$('harm').onclick = async () => {
  try {
    const headers = { 'x-demo': '1' }
    const response = await fetch('/harm', { method: 'POST', headers, body: broken ? 'well' : 'broken' })
    show((await response.json()).broken)
  } catch {
    $('sum').textContent = 'the edge that served this page does not answer'
  }
}
function show(now) {
  broken = now
  $('harm').setAttribute('aria-pressed', String(broken))
  $('harm').firstChild.textContent = (broken ? 'Repair' : 'Break') + ' the backends '
}
function choose() {
  $('about').textContent = about[mode()]
  $('harm').hidden = mode() !== 'fragile'
}
for (const input of document.querySelectorAll('input[name=mode]')) input.onchange = choose
choose()
fetch('/harm').then(response => response.json()).then(({ broken }) => show(broken), () => {})
`
