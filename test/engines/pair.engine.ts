import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { teardownOf } from '../clients/stage.ts'
import { readStream, servedBy } from '../support/ask.ts'
import { gateProcess } from '../support/gate-process.ts'
import { isWanted, REAL_ENGINES } from './installed.ts'
import { ask, ENDLESS, engineEnv } from './prove.ts'
import { type Running, startEngine, until as soon } from './start.ts'

// Goal: two engines of different kinds under one model name; the operator changes the order by the env
// file, and no request notices. Method: a gate in a process of its own, traffic all the
// while, a long stream over the change.

const wanted = REAL_ENGINES.filter((engine) => isWanted(engine, process.env))
const [first, second] = wanted
/** So many requests in a row say where they go. */
const ROUNDS = 8
const WAIT_MS = 30_000

if (first === undefined || second === undefined) {
  process.stdout.write(
    `# two different engines are needed, and ${wanted.join(', ') || 'none'} is here\n`,
  )
} else {
  test(`${first} and ${second} under one name, the order changed under traffic`, async (t) => {
    const ends = teardownOf(t)
    const [one, two] = [await startEngine(ends, first), await startEngine(ends, second)]
    const folder = await mkdtemp(join(tmpdir(), 'gengate-engines-'))
    ends.teardown(() => rm(folder, { recursive: true, force: true }))
    const envFile = join(folder, 'gate.env')
    const prefer = (name: string) =>
      writeFile(envFile, `${linesOf(one, two)}LOCAL_LLM_BACKEND=${name}\n`)
    await prefer('one')
    const gate = await gateProcess(ends, { GENGATE_ENV_FILE: envFile })
    await until(() => bothServe(gate.url))

    const seen: (string | null)[] = []
    const enough = new AbortController()
    const client = async (): Promise<void> => {
      while (!enough.signal.aborted) {
        const answer = await ask(gate, { model: 'small', max_tokens: 3 })
        assert.equal(answer.status, 200)
        const body = (await answer.json()) as { model: string }
        assert.equal(body.model, 'small', 'the name that clients know')
        seen.push(servedBy(answer))
      }
    }
    const traffic = client()
    const goesTo = (name: string) =>
      until(() => seen.slice(-ROUNDS).join() === Array(ROUNDS).fill(name).join())
    await goesTo('one')
    const stream = readStream(await longFrom(gate, 'one'))

    await prefer('two')
    const changedAt = performance.now()
    await until(() => seen.at(-1) === 'two')
    t.diagnostic(
      `new requests go to ${second} ${(performance.now() - changedAt).toFixed(0)} ms after the change`,
    )
    await goesTo('two')
    const end = await stream
    assert.ok(end.done && end.error === null && !end.broken, 'the stream went on where it was')
    for (const event of end.events) {
      assert.equal((JSON.parse(event) as { model: string }).model, 'small')
    }

    await prefer('one')
    await goesTo('one')
    enough.abort()
    await traffic
    t.diagnostic(`${seen.length} requests, all answered`)
  })
}

/** A long stream from this one. A slow machine may find it silent for a moment and ask the other. */
async function longFrom(gate: { readonly url: string }, name: string): Promise<Response> {
  for (;;) {
    const answer = await ask(gate, { ...ENDLESS, model: 'small', stream: true, max_tokens: 200 })
    if (servedBy(answer) === name) return answer
    await answer.body?.cancel()
  }
}

function linesOf(one: Running, two: Running): string {
  const settings = {
    GENGATE_UPSTREAMS: `one=${one.url},two=${two.url}`,
    ...engineEnv('ONE', one),
    ...engineEnv('TWO', two),
    GENGATE_MODELS: `small=one:${one.model}|two:${two.model}`,
  }
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

async function bothServe(url: string): Promise<boolean> {
  const { upstreams } = (await (await fetch(`${url}/gate/status`)).json()) as {
    upstreams: { eligible: boolean }[]
  }
  return upstreams.every(({ eligible }) => eligible)
}

const until = (check: () => boolean | Promise<boolean>): Promise<void> =>
  soon(check, { limitMs: 4 * WAIT_MS, everyMs: 50 })
