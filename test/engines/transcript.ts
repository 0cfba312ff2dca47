import { readFileSync, writeFileSync } from 'node:fs'
import { arch, availableParallelism, platform, release } from 'node:os'
import { join } from 'node:path'
import { chat, embedding, readmeCurl, STREAM } from './questions.ts'
import { howToGet, programOf, type RealEngine } from './installed.ts'
import { type Claim, npmStart, portLike, Scribe } from './scribe.ts'
import { fakesSection } from './transcript-fakes.ts'
import { endings, type Running, startEngine } from './start.ts'

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

const EMBEDDED = [/^HTTP\/1.1 200/, /x-gengate-upstream: ollama/, /"embedding":\[-?\d/]
const embeds = (port: number, shows = 'Embeddings are served.') =>
  asks(embedding(port, 'tiny-embed'), EMBEDDED, shows)

const LISTS = {
  wants: [/gemma:latest/],
  shows: 'Asked directly it lists its models as if nothing were wrong.',
}

/** Runs a command and writes it down with what it must show, and what it must not. */
const runs = (command: string, wants: readonly RegExp[], shows: string, never?: RegExp) =>
  scribe.run(command, { wants, shows, ...(never && { never }) })
/** The same for a request: of its answer the lines that matter. */
const asks = (command: string, wants: readonly RegExp[], shows: string, never?: RegExp) =>
  scribe.run(command, { wants, shows, lines: TOKENS, ...(never && { never }) })

interface Ports {
  readonly gate: number
  readonly ollama: number
  readonly llamacpp: number
}

const own = endings()
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
  await runs(
    'ollama list',
    [/gemma:latest/, /gemma:large/, /tiny-embed:latest/],
    'The names have tags, as Ollama lists them.',
  )
  await runs(
    `ollama stop gemma && sleep 2 && ${ps}`,
    [/^NAME/],
    'Nothing is in memory.',
    /gemma|tiny/,
  )
  await gate(ports, {})
  await runs(
    readmeCurl(port),
    [...STREAM, /"model":"gemma:latest"/],
    "README's curl, word for word: no model is named and none is in memory, so the smallest one that chats is loaded.",
    /"error"/,
  )
  await runs('gengate explain', [/ollama/], 'Which model that was, and why.')
  await byName(port)
  await eviction(port, ps)
  await lists(port)
  await own.end()
}

async function byName(port: number): Promise<void> {
  await asks(
    chat(port, { model: 'gemma:latest' }),
    [/^HTTP\/1.1 200/, /x-gengate-upstream: ollama/, /"model":"gemma:latest"/, /"finish/],
    'By the name that is listed.',
  )
  await asks(
    chat(port, { model: 'gemma' }),
    [/^HTTP\/1.1 200/, /"model":"gemma"/],
    'By the bare name, which Ollama takes as equal; the answer says what the client wrote.',
  )
  await asks(
    chat(port, { model: 'gemma', stream: true }),
    [/^HTTP\/1.1 200/, ...STREAM, /"model":"gemma"/],
    'The same as a stream.',
    /"error"/,
  )
  await asks(
    chat(port, { model: 'default' }),
    [/^HTTP\/1.1 200/, /"model":"default"/],
    'And `default`.',
  )
  await asks(
    chat(port, { model: 'nope' }),
    [/^HTTP\/1.1 404/, /model_not_found/, /gemma/],
    'A name that nobody lists is refused, with those that are.',
  )
}

async function eviction(port: number, ps: string): Promise<void> {
  await scribe.run(ps, { wants: /gemma:latest/, shows: 'In memory before:' })
  await asks(
    chat(port, { model: 'gemma:large', stream: true }),
    [/^HTTP\/1.1 200/, ...STREAM],
    'The other model is loaded on demand; the load is waited for.',
    /"error"/,
  )
  await runs(
    `sleep ${LOOK_ON_S} && ${ps}`,
    [/gemma:large/],
    'It took the place of the first, and no probe has loaded that one again.',
    /gemma:latest|tiny/,
  )
  await runs(
    readmeCurl(port),
    [...STREAM, /"model":"gemma:large"/],
    'Without a name the model in memory is meant now.',
    /"error"/,
  )
  await embeds(port, 'An embedding by its bare name: a vector.')
  await runs(
    `sleep ${LOOK_ON_S} && ${ps}`,
    [/tiny-embed:latest/],
    'Only that model is in memory: no probe has loaded a chat model or evicted this one.',
    /gemma/,
  )
  await runs(
    'gengate explain; gengate status',
    [/ollama/],
    'Chat is cold there, and would load on demand.',
    /wedged|not know/,
  )
  await runs(
    readmeCurl(port),
    [...STREAM, /"model":"gemma:(?:large|latest)"/],
    'So it is: the model that was proven last.',
    /"error"/,
  )
}

async function lists(port: number): Promise<void> {
  await runs(
    `curl -s localhost:${port}/v1/models | grep -o '"id":"[^"]*"'`,
    [/"default"/, /gemma:latest/, /gemma:large/, /tiny-embed/],
    'What may be asked for.',
  )
  await asks(
    `curl -si localhost:${port}/v1/models/gemma`,
    [/^HTTP\/1.1 200/],
    'One of them, by its bare name.',
  )
}

async function wedge(ports: Ports): Promise<void> {
  scribe.say('## A wedge: the chat model hangs, the embedding model answers')
  const ollama = await startOllama(ports, 2)
  await gate(ports, {})
  await proven(ports.gate, 'ollama')
  await embeds(ports.gate)
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
    await embeds(ports.gate)
  } finally {
    await thaw()
  }
  await own.end()
  if (!isHere('llamacpp')) return
  await withAnother(ports)
  await own.end()
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
  await embeds(port)
  const thaw = await ollama.freeze()
  scribe.say('The generation loop of `gemma:latest` is frozen again.')
  try {
    await asks(
      chat(port, { stream: true }),
      [/^HTTP\/1.1 200/, ...STREAM, /upstream[:=] ?llamacpp/],
      'A request that was sent into the wedge is answered by the other.',
      /"error"/,
    )
    await embeds(port)
    await runOnce('gengate explain; gengate status', {
      wants: [/llamacpp/, /wedged|suspect/],
      shows: 'Why chat goes to llama.cpp.',
    })
    await asks(
      chat(port, { model: 'gemma' }),
      [/^HTTP\/1.1 200/, /x-gengate-upstream: llamacpp/],
      'Both have a `gemma`, so that name is served as well.',
    )
    await embeds(port)
  } finally {
    await thaw()
  }
  scribe.say('It is thawed.')
  await proven(port, 'ollama')
}

// A gate that was started has a process group of its own: nobody else would end it.
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    void own.end().finally(() => process.exit(1))
  })
}
try {
  await write()
} finally {
  await own.end()
}
for (const failure of scribe.failures) process.stderr.write(`not as it should be: ${failure}\n`)
process.stderr.write(`${scribe.failures.length} failed, ${scribe.skipped.length} skipped\n`)
process.exit(scribe.failures.length > 0 ? 1 : 0)
