import { spawn } from 'node:child_process'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'

// A small engine, as a program of its own: `node engine-program.ts PORT [ignore-term] [child] [slow]`.
// It generates in one slot, and can be made to wedge: /health and /v1/models answer, nothing generates.

/** Until a `slow` one listens, ms. */
const LOAD_MS = 1_500
const TOKEN_MS = 20

function main(port: number, traits: ReadonlySet<string>): void {
  if (traits.has('ignore-term')) process.on('SIGTERM', () => console.log('SIGTERM is ignored'))
  if (traits.has('child')) {
    // A worker that would outlive its parent, as vLLM's would.
    const script = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"
    const child = spawn(process.execPath, ['-e', script], { stdio: 'inherit' })
    console.log(`worker ${child.pid}`)
  }
  if (traits.has('broken')) {
    console.error('out of memory: sk-not-for-clients')
    process.exit(3)
  }
  const engine = new Engine()
  const listen = () =>
    createServer((request, response) => engine.answer(request, response)).listen(port, '127.0.0.1')
  if (traits.has('slow')) setTimeout(listen, LOAD_MS)
  else listen()
  console.log(`engine ${process.pid}`)
}

class Engine {
  #wedged = false
  #busy = false
  readonly #queue: (() => void)[] = []

  answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? ''
    if (path === '/control/wedge') this.#wedged = true
    if (path === '/control/exit') process.exit(9)
    if (path === '/v1/models') return json(response, { object: 'list', data: [{ id: 'tiny' }] })
    if (!path.startsWith('/v1/')) return json(response, { ok: true })
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    request.on('end', () => {
      const wish = JSON.parse(text) as { stream?: boolean; max_tokens?: number }
      this.#queue.push(() => this.#generate(response, wish.stream === true, wish.max_tokens ?? 4))
      this.#next()
    })
  }

  #next(): void {
    if (this.#busy || this.#wedged) return
    const job = this.#queue.shift()
    if (job === undefined) return
    this.#busy = true
    job()
  }

  #generate(response: ServerResponse, stream: boolean, tokens: number): void {
    let left = tokens
    if (stream) response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => {
      if (this.#wedged) return
      left--
      if (stream) response.write(event({ delta: { content: 'a ' }, finish_reason: null }))
      if (left > 0 && !response.destroyed) return
      clearInterval(timer)
      const usage = { prompt_tokens: 1, completion_tokens: tokens, total_tokens: tokens + 1 }
      const message = { role: 'assistant', content: 'a '.repeat(tokens) }
      if (stream) response.end(`${event({ delta: {}, finish_reason: 'stop' })}data: [DONE]\n\n`)
      else
        json(response, {
          id: 'x',
          model: 'tiny',
          choices: [{ index: 0, message, finish_reason: 'stop' }],
          usage,
        })
      this.#busy = false
      this.#next()
    }, TOKEN_MS)
  }
}

function event(choice: object): string {
  return `data: ${JSON.stringify({ id: 'x', model: 'tiny', choices: [{ index: 0, ...choice }] })}\n\n`
}

function json(response: ServerResponse, document: object): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(document))
}

const [, entry, port, ...traits] = process.argv
if (entry === fileURLToPath(import.meta.url)) main(Number(port), new Set(traits))
