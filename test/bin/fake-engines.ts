import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { childEnv } from '../support/child-env.ts'
import { launcher, systemNode, until } from './process.ts'

/**
 * An engine as far as `gengate run` sees one: tells its arguments and variables, starts a worker,
 * answers HTTP where it was told to, and ends at SIGTERM and SIGINT. `FAKE_FAILS` makes it write that
 * text and end with 3; with `FAKE_STUBBORN` it does not end by itself.
 */
const ENGINE = `
import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
const args = process.argv.slice(2)
const { OLLAMA_HOST = '', FAKE_FAILS = '', FAKE_STUBBORN = '' } = process.env
console.log('args ' + JSON.stringify(args))
console.log('env ' + JSON.stringify(process.env))
if (FAKE_FAILS !== '') {
  console.error(FAKE_FAILS)
  process.exit(3)
}
const worker = spawn('sleep', ['600'], { stdio: 'ignore' })
console.log('worker ' + worker.pid)
const at = args.indexOf('--port')
const port = at < 0 ? OLLAMA_HOST.split(':')[1] : args[at + 1]
const answer = (response, body) => {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(body))
}
createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    if (request.url === '/v1/models') return answer(response, { data: [{ id: 'fake' }] })
    if (request.url === '/end') {
      response.end()
      return setTimeout(() => process.exit(5), 50)
    }
    if (request.method !== 'POST') return void response.writeHead(404).end()
    answer(response, {
      id: 'x',
      object: 'chat.completion',
      model: 'fake',
      choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    })
  })
}).listen(Number(port), '127.0.0.1', () => console.log('ready'))
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    console.log('got ' + signal)
    // Not at once: a signal that came twice is told twice.
    if (FAKE_STUBBORN === '') setTimeout(() => process.exit(signal === 'SIGINT' ? 6 : 0), 300)
  })
}
`

/** A home, and working directory, with every engine in it, none of them real, and nothing else on PATH but the system. */
export function fakeEngines(t: Test) {
  const home = t.testdir({ bin: {}, 'engine.mjs': ENGINE, 'model.gguf': 'GGUF' })
  const run = `exec '${process.execPath}' '${join(home, 'engine.mjs')}' "$@"`
  for (const name of ['bin/vllm', 'bin/ollama', 'bin/llama-server']) program(join(home, name), run)
  return {
    home,
    env: childEnv({
      HOME: home,
      PATH: `${join(home, 'bin')}:/usr/bin:/bin`,
      GENGATE_EMBEDDED: 'off',
    }),
    /** A virtual environment whose Python answers an import check with `imports`. */
    venv: (name: string, imports: string): string => {
      const path = join(home, name, 'bin', 'python3')
      program(path, `if [ "$1" = -c ]; then ${imports}; exit; fi\n${run}`)
      writeFileSync(join(home, name, 'pyvenv.cfg'), '')
      return join(home, name)
    },
  }
}

function program(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, 0o755)
}

/** Starts `gengate run …` and keeps what it writes; `t` ends it. */
export function startRun(t: Test, args: readonly string[], env: Record<string, string>) {
  const child = spawn(systemNode, [launcher, 'run', ...args], {
    cwd: env['HOME'] ?? '',
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own, as a shell gives it, so that Ctrl-C can be imitated.
    detached: true,
  })
  const out = { text: '' }
  const err = { text: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out.text += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (err.text += chunk))
  const ended = once(child, 'close')
  t.teardown(async () => {
    const runs = child.exitCode === null && child.signalCode === null
    if (runs && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    await ended
  })
  return { child, out, err, ended }
}

/** Waits until the engine listens; resolves with the id of its worker. */
export async function ready({ out }: { out: { text: string } }): Promise<number> {
  await until(() => (/^ready$/m.test(out.text) ? true : undefined))
  return Number(/^worker (\d+)$/m.exec(out.text)?.[1])
}

/** Sends the signal, and once it was heard and is no repetition any more, a second time. A third one would meet a
 *  program that is about to exit. */
export async function insist(
  { child, err, ended }: ReturnType<typeof startRun>,
  signal: NodeJS.Signals,
): Promise<unknown[]> {
  child.kill(signal)
  await until(() => (err.text.includes(signal) ? true : undefined))
  await sleep(700)
  child.kill(signal)
  return ended
}
