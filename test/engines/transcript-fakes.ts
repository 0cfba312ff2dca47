import { fakeKoboldCpp, fakeLlamaSwap, fakeLmStudio, fakeLocalAi } from '../support/fake-engines.ts'
import type { FakeUpstream } from '../support/fake-upstream.ts'
import { chat, embedding, STREAM } from './questions.ts'
import { type Claim, npmStart, type Scribe } from './scribe.ts'
import type { Teardown } from './start.ts'

/** One of the fakes, and what it is to show. */
interface Fake {
  readonly title: string
  /** Of the upstream; its kind follows from it, where there is one. */
  readonly name: string
  readonly start: (t: Teardown) => Promise<FakeUpstream>
  /** What a request without a name gets. */
  readonly nameless: RegExp
  /** A name that is listed, and one that is not in memory. */
  readonly named: string
  readonly other: string | null
  readonly embeds: string | null
  /** A name that the engine takes as equal to `named`. */
  readonly equal: string | null
}

const LOAD_MS = 1_500
const LM_STUDIO = ['qwen3-8b', 'gemma-3', 'nomic-embed']

const FAKES: readonly Fake[] = [
  {
    title: 'LM Studio',
    name: 'lmstudio',
    start: (t) => fakeLmStudio(t, LM_STUDIO, { loaded: ['qwen3-8b'], loadMs: LOAD_MS }),
    nameless: /"model":"qwen3-8b"/,
    named: 'qwen3-8b',
    other: 'gemma-3',
    embeds: 'nomic-embed',
    equal: 'Qwen3-8B:2',
  },
  {
    title: 'llama-swap',
    name: 'llamaswap',
    start: (t) => fakeLlamaSwap(t, ['m1', 'm2', 'm-embed'], { loaded: ['m2'], loadMs: LOAD_MS }),
    nameless: /"model":"m2"/,
    named: 'm2',
    other: 'm1',
    embeds: 'm-embed',
    equal: null,
  },
  {
    title: 'KoboldCpp',
    name: 'koboldcpp',
    start: (t) => fakeKoboldCpp(t, 'Mistral-7B'),
    nameless: /"model":"koboldcpp\/Mistral-7B"/,
    named: 'koboldcpp/Mistral-7B',
    other: null,
    embeds: null,
    equal: null,
  },
  {
    title: 'LocalAI',
    name: 'localai',
    start: (t) => fakeLocalAi(t, undefined, { loadMs: LOAD_MS }),
    nameless: /"model":"gpt-4"|model_required/,
    named: 'gpt-4',
    other: 'gpt-4o',
    embeds: 'text-embedding-ada-002',
    equal: null,
  },
]

/** The rows of the table; null: this engine has no such thing. */
type Row = readonly [what: string, cells: (string | null)[]]

/** LM Studio, llama-swap, KoboldCpp and LocalAI, as far as their lists, loads and refusals are known. */
export async function fakesSection(
  own: Teardown,
  scribe: Scribe,
  how: { readonly port: number; readonly readmeCurl: string },
): Promise<void> {
  scribe.say('## LM Studio, llama-swap, KoboldCpp and LocalAI, faked')
  scribe.say(
    'Not the engines themselves: servers that list, load, evict and refuse as they do ' +
      '(`test/support/fake-engines.ts`), one after another behind `npm start`, asked by the same curl commands.',
  )
  const rows = new Map<string, (string | null)[]>()
  for (const fake of FAKES) {
    const cells = await one(own, scribe, fake, how)
    for (const [what, cell] of cells) rows.set(what, [...(rows.get(what) ?? []), cell])
  }
  const heads: Row[] = [
    ['', FAKES.map(({ title }) => title)],
    ['---', FAKES.map(() => '---')],
  ]
  const line = ([what, cells]: Row) =>
    `| ${[what, ...cells.map((cell) => cell ?? '–')].join(' | ')} |`
  scribe.say([...heads, ...rows].map(line).join('\n'))
}

type Cells = [what: string, cell: string | null][]

async function one(
  own: Teardown,
  scribe: Scribe,
  fake: Fake,
  { port, readmeCurl }: { readonly port: number; readonly readmeCurl: string },
): Promise<Cells> {
  const engine = await fake.start(own)
  const upstream = `${fake.name}=${engine.url}`
  const env = { GENGATE_UPSTREAMS: upstream, GENGATE_PORT: String(port) }
  const gate = await npmStart(own, port, env)
  const cells: Cells = []
  const ask = async (
    what: string,
    command: string | null,
    claim: Omit<Claim, 'shows'>,
  ): Promise<void> => {
    if (command === null) return void cells.push([what, null])
    const { output, wrong } = await scribe.check(command, { ...claim, shows: what })
    cells.push([what, `${gist(output)}${wrong === '' ? '' : ` **not as it should be: ${wrong}**`}`])
  }
  const memory = (): string => JSON.stringify(engine.options.loaded ?? [])
  const { named, other, embeds } = fake
  const whole = { wants: /"finish_reason"/, never: /"error"/ }
  const stream = { wants: STREAM, never: /"error"/ }
  const vector = { wants: /"embedding":\[/ }
  await ask('README’s curl', readmeCurl, { wants: [fake.nameless] })
  await ask('a name, a stream', chat(port, { model: named, stream: true }), stream)
  await ask('a name, unary', chat(port, { model: named }), whole)
  const equal = fake.equal && chat(port, { model: fake.equal })
  await ask('a name that it takes as equal', equal, whole)
  const before = memory()
  const cold = other && chat(port, { model: other, stream: true })
  await ask('a model that is not in memory', cold, stream)
  cells.push(['in memory before and after', other && `${before} → ${memory()}`])
  await ask('an embedding by name', embeds && embedding(port, embeds), vector)
  const loads = engine.coldLoads
  await new Promise((resolve) => setTimeout(resolve, LOOK_ON_MS))
  if (engine.coldLoads !== loads) scribe.failures.push(`${fake.title}: a probe loaded a model`)
  cells.push([`loads by probes within ${LOOK_ON_MS / 1000} s`, String(engine.coldLoads - loads)])
  await ask('the chat model again', chat(port, { model: named }), whole)
  engine.freeze(named)
  const frozen = { wants: /^HTTP\/1.1 50[34]/ }
  await ask('its generation loop frozen: chat', chat(port, { model: named }), frozen)
  await ask('… an embedding', embeds && embedding(port, embeds), vector)
  engine.thaw()
  await scribe.until(chat(port, { model: named }), /^HTTP\/1.1 200/, BACK_MS)
  await ask('thawed', chat(port, { model: named }), { wants: /"finish_reason"/ })
  await gate.end()
  return cells
}
const LOOK_ON_MS = 5_000
const BACK_MS = 30_000

/** Status and model, or status and code of the error. */
function gist(output: string): string {
  const status = /^HTTP\/1.1 (\d+)/.exec(output)?.[1]
  const code = /"code":"(\w+)"/.exec(output)?.[1]
  const model = /"model":"([^"]+)"/.exec(output)?.[1]
  const what = code ?? model
  const text = [status, what === undefined ? null : `\`${what}\``].filter(Boolean).join(' ')
  return output.includes('[DONE]') ? `${text} … \`[DONE]\`` : text
}
