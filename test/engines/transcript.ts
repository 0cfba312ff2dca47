import { readFileSync, writeFileSync } from 'node:fs'
import { arch, availableParallelism, platform, release } from 'node:os'
import { join } from 'node:path'
import { chat, embedding, readmeCurl, STREAM } from './questions.ts'
import { howToGet, programOf, type RealEngine } from './installed.ts'
import { type Claim, npmStart, portLike, Scribe } from './scribe.ts'
import { fakesSection } from './transcript-fakes.ts'
import { type Running, startEngine, type Teardown } from './start.ts'

// Writes the second half of docs/real-models.md: real engines and some fakes behind a gate that was started by
// `npm start`, asked by curl. Each command is printed as it was run, with what it must show; what does not is
// told in the document, at the end, and by exit code 1. usage: npm run transcript

const ROOT = new URL('../../', import.meta.url)
/** Another file may be named, for a try. */
const DOCUMENT = process.argv[2] ?? new URL('docs/real-models.md', ROOT)
const BEGIN = '<!-- What follows is written by `npm run transcript`. -->'
const END = '<!-- Here it ends. -->'

const RECOVERY_MS = 30_000
/** Longer than two probe intervals: what a probe loads or evicts would show. */
const LOOK_ON_S = 6

const TOKENS = /^(?:HTTP|x-gengate|retry|\{|data)/

const EMBEDS = {
  wants: [/^HTTP\/1.1 200/, /x-gengate-upstream: ollama/, /"embedding":\[-?\d/],
  lines: TOKENS,
  shows: 'Embeddings are served.',
}

const LISTS = {
  wants: [/gemma:latest/],
  shows: 'Asked directly it lists its models as if nothing were wrong.',
}

interface Ports {
  readonly gate: number
  readonly ollama: number
  readonly llamacpp: number
}

const ends: (() => Promise<void>)[] = []
const own: Teardown = { teardown: (end) => ends.push(end) }
const scribe = new Scribe()

async function write(): Promise<void> {
  const ports: Ports = {
    gate: await portLike(8000),
    ollama: await portLike(11_434),
    llamacpp: await portLike(8080),
  }
  scribe.say(
    `Run on ${new Date().toISOString().slice(0, 10)}, ${platform()} ${release()} ${arch()}, ` +
      `${availableParallelism()} processors, Node ${process.version}. Lines that say nothing are left out, ` +
      'ids and the middle of streams are `…`.',
  )
  if (isHere('ollama')) {
    await severalModels(ports)
    await wedge(ports)
  }
  await fakesSection(own, scribe, { port: ports.gate, readmeCurl: readmeCurl(ports.gate) })
  const { failures, skipped } = scribe
  scribe.say(
    failures.length === 0
      ? `Everything above showed what it should${skipped.length > 0 ? `; ${skipped.length} parts were skipped` : ''}.`
      : `${failures.length} of the commands above did not show what they should.`,
  )
  const text = readFileSync(DOCUMENT, 'utf8')
  const [before = '', rest = ''] = text.split(`${BEGIN}\n`)
  const [, after = ''] = rest.split(END)
  writeFileSync(
    DOCUMENT,
    `${before.trimEnd()}\n\n${BEGIN}\n\n${scribe.text}\n${END}${after || '\n'}`,
  )
}

function isHere(engine: RealEngine): boolean {
  if (programOf(engine, process.env) !== null) return true
  scribe.skip(howToGet(engine))
  return false
}

/** The last one first. */
async function endAll(): Promise<void> {
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) await end()
}

async function startOllama(ports: Ports, inMemory: number): Promise<Running> {
  const ollama = await startEngine(own, 'ollama', ports.ollama, {
    OLLAMA_MAX_LOADED_MODELS: String(inMemory),
  })
  const folder = join(programOf('ollama', process.env) ?? '', '..')
  scribe.env = {
    PATH: `${folder}:${process.env['PATH'] ?? ''}`,
    OLLAMA_HOST: `127.0.0.1:${ports.ollama}`,
    ...(ports.gate === 8000 ? {} : { GENGATE_PORT: String(ports.gate) }),
  }
  return ollama
}

/** `npm start` as a user types it, with the ports that are not the usual ones. */
async function gate(ports: Ports, settings: Record<string, string>): Promise<void> {
  const env = {
    ...settings,
    ...(ports.gate === 8000 ? {} : { GENGATE_PORT: String(ports.gate) }),
    ...(ports.ollama === 11_434 ? {} : { GENGATE_OLLAMA_URL: `http://127.0.0.1:${ports.ollama}` }),
    ...(ports.llamacpp === 8080
      ? {}
      : { GENGATE_LLAMACPP_URL: `http://127.0.0.1:${ports.llamacpp}` }),
  }
  const words = Object.entries(env).map(([name, value]) => `${name}=${value} `)
  const { lines } = await npmStart(own, ports.gate, env)
  scribe.say(`\`\`\`console\n$ ${words.join('')}npm start\n${lines}\n\`\`\``)
}

async function severalModels(ports: Ports): Promise<void> {
  const { gate: port } = ports
  const ps = 'ollama ps'
  scribe.say('## A real Ollama with three models, room for one')
  scribe.say(
    'Two chat models and one that embeds, made by `test/engines/install ollama`; `OLLAMA_MAX_LOADED_MODELS=1`.',
  )
  await startOllama(ports, 1)
  await scribe.run('ollama list', {
    wants: [/gemma:latest/, /gemma:large/, /tiny-embed:latest/],
    shows: 'The names have tags, as Ollama lists them.',
  })
  await scribe.run(`ollama stop gemma && sleep 2 && ${ps}`, {
    wants: /^NAME/,
    never: /gemma|tiny/,
    shows: 'Nothing is in memory.',
  })
  await gate(ports, {})
  await scribe.run(readmeCurl(port), {
    wants: [...STREAM, /"model":"gemma:latest"/],
    never: /"error"/,
    shows:
      "README's curl, word for word: no model is named and none is in memory, so the smallest one that chats is loaded.",
  })
  await scribe.run('gengate explain', {
    wants: /ollama/,
    shows: 'Which model that was, and why.',
  })
  await byName(port)
  await eviction(port, ps)
  await lists(port)
  await endAll()
}

async function byName(port: number): Promise<void> {
  await scribe.run(chat(port, { model: 'gemma:latest' }), {
    wants: [/^HTTP\/1.1 200/, /x-gengate-upstream: ollama/, /"model":"gemma:latest"/, /"finish/],
    lines: TOKENS,
    shows: 'By the name that is listed.',
  })
  await scribe.run(chat(port, { model: 'gemma' }), {
    wants: [/^HTTP\/1.1 200/, /"model":"gemma"/],
    lines: TOKENS,
    shows: 'By the bare name, which Ollama takes as equal; the answer says what the client wrote.',
  })
  await scribe.run(chat(port, { model: 'gemma', stream: true }), {
    wants: [/^HTTP\/1.1 200/, ...STREAM, /"model":"gemma"/],
    never: /"error"/,
    lines: TOKENS,
    shows: 'The same as a stream.',
  })
  await scribe.run(chat(port, { model: 'default' }), {
    wants: [/^HTTP\/1.1 200/, /"model":"default"/],
    lines: TOKENS,
    shows: 'And `default`.',
  })
  await scribe.run(chat(port, { model: 'nope' }), {
    wants: [/^HTTP\/1.1 404/, /model_not_found/, /gemma/],
    lines: TOKENS,
    shows: 'A name that nobody lists is refused, with those that are.',
  })
}

async function eviction(port: number, ps: string): Promise<void> {
  await scribe.run(ps, { wants: /gemma:latest/, shows: 'In memory before:' })
  await scribe.run(chat(port, { model: 'gemma:large', stream: true }), {
    wants: [/^HTTP\/1.1 200/, ...STREAM],
    never: /"error"/,
    lines: TOKENS,
    shows: 'The other model is loaded on demand; the load is waited for.',
  })
  await scribe.run(`sleep ${LOOK_ON_S} && ${ps}`, {
    wants: /gemma:large/,
    never: /gemma:latest|tiny/,
    shows: 'It took the place of the first, and no probe has loaded that one again.',
  })
  await scribe.run(readmeCurl(port), {
    wants: [...STREAM, /"model":"gemma:large"/],
    never: /"error"/,
    shows: 'Without a name the model in memory is meant now.',
  })
  await scribe.run(embedding(port, 'tiny-embed'), {
    wants: [/^HTTP\/1.1 200/, /x-gengate-upstream: ollama/, /"embedding":\[-?\d/],
    lines: TOKENS,
    shows: 'An embedding by its bare name: a vector.',
  })
  await scribe.run(`sleep ${LOOK_ON_S} && ${ps}`, {
    wants: /tiny-embed:latest/,
    never: /gemma/,
    shows: 'Only that model is in memory: no probe has loaded a chat model or evicted this one.',
  })
  await scribe.run('gengate explain; gengate status', {
    wants: /ollama/,
    never: /wedged|not know/,
    shows: 'Chat is cold there, and would load on demand.',
  })
  await scribe.run(readmeCurl(port), {
    wants: [...STREAM, /"model":"gemma:(?:large|latest)"/],
    never: /"error"/,
    shows: 'So it is: the model that was proven last.',
  })
}

async function lists(port: number): Promise<void> {
  await scribe.run(`curl -s localhost:${port}/v1/models | grep -o '"id":"[^"]*"'`, {
    wants: [/"default"/, /gemma:latest/, /gemma:large/, /tiny-embed/],
    shows: 'What may be asked for.',
  })
  await scribe.run(`curl -si localhost:${port}/v1/models/gemma`, {
    wants: /^HTTP\/1.1 200/,
    lines: TOKENS,
    shows: 'One of them, by its bare name.',
  })
}

async function wedge(ports: Ports): Promise<void> {
  scribe.say('## A wedge: the chat model hangs, the embedding model answers')
  const ollama = await startOllama(ports, 2)
  await gate(ports, {})
  await proven(ports.gate, 'ollama')
  await scribe.run(embedding(ports.gate, 'tiny-embed'), EMBEDS)
  const thaw = await ollama.freeze()
  scribe.say(
    'Now the generation loop of the runner that has `gemma:latest` is frozen, by ptrace; everything else of Ollama goes on.',
  )
  try {
    await scribe.run(`curl -s localhost:${ports.ollama}/v1/models | grep -o '"id":"[^"]*"'`, LISTS)
    await runOnce(chat(ports.gate, {}), {
      wants: [/^HTTP\/1.1 503/, /ollama/, /retry-after/],
      lines: TOKENS,
      shows: 'With nobody else to chat, a request is refused with the reason.',
    })
    await scribe.run(embedding(ports.gate, 'tiny-embed'), EMBEDS)
  } finally {
    await thaw()
  }
  await endAll()
  if (!isHere('llamacpp')) return
  await withAnother(ports)
  await endAll()
}

async function proven(port: number, upstream: string): Promise<void> {
  await runOnce(chat(port, {}), {
    wants: [/^HTTP\/1.1 200/, new RegExp(`x-gengate-upstream: ${upstream}`)],
    lines: TOKENS,
    shows: `Chat goes to ${upstream}.`,
  })
}

/** Once it shows what it should, which may take a moment. */
async function runOnce(command: string, claim: Claim): Promise<void> {
  await scribe.until(command, claim.wants, RECOVERY_MS)
  await scribe.run(command, claim)
}

async function withAnother(ports: Ports): Promise<void> {
  const { gate: port } = ports
  scribe.say('### The same with a real llama.cpp beside it')
  const ollama = await startOllama(ports, 2)
  await startEngine(own, 'llamacpp', ports.llamacpp)
  await gate(ports, { GENGATE_UPSTREAMS: 'ollama,llamacpp' })
  await proven(port, 'ollama')
  await scribe.run(embedding(port, 'tiny-embed'), EMBEDS)
  const thaw = await ollama.freeze()
  scribe.say('The generation loop of `gemma:latest` is frozen again.')
  try {
    await scribe.run(chat(port, { stream: true }), {
      wants: [/^HTTP\/1.1 200/, ...STREAM, /upstream[:=] ?llamacpp/],
      never: /"error"/,
      lines: TOKENS,
      shows: 'A request that was sent into the wedge is answered by the other.',
    })
    await scribe.run(embedding(port, 'tiny-embed'), EMBEDS)
    await runOnce('gengate explain; gengate status', {
      wants: [/llamacpp/, /wedged|suspect/],
      shows: 'Why chat goes to llama.cpp.',
    })
    await scribe.run(chat(port, { model: 'gemma' }), {
      wants: [/^HTTP\/1.1 200/, /x-gengate-upstream: llamacpp/],
      lines: TOKENS,
      shows: 'Both have a `gemma`, so that name is served as well.',
    })
    await scribe.run(embedding(port, 'tiny-embed'), EMBEDS)
  } finally {
    await thaw()
  }
  scribe.say('It is thawed.')
  await proven(port, 'ollama')
}

// A gate that was started has a process group of its own: nobody else would end it.
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    void endAll().finally(() => process.exit(1))
  })
}
try {
  await write()
} finally {
  await endAll()
}
for (const failure of scribe.failures) process.stderr.write(`not as it should be: ${failure}\n`)
process.stderr.write(`${scribe.failures.length} failed, ${scribe.skipped.length} skipped\n`)
process.exit(scribe.failures.length > 0 ? 1 : 0)
