import type { EngineKind } from '../core/upstream.ts'
import type { CommandLine } from './command-line.ts'
import { KNOWN_NAMES, nearest } from './known.ts'
import type { Config } from './load.ts'
import { meaningOf, variableOf } from './names.ts'
import type { UpstreamConfig } from './upstreams.ts'

/** The path of a program with this environment; null: there is none. */
export type FindProgram = (nameOrPath: string, env: CommandLine['env']) => string | null

/** Everything that is legal and probably not meant, or good to know, a sentence each: what `config check`,
 *  the start of the gate and `doctor` say. Pure but for `find`. */
export function configNotes(config: Config, find: FindProgram): string[] {
  const { envFile, shadowed } = config
  return [
    ...shadowed.map((name) => `${name} in ${envFile} has no effect: the environment sets it too.`),
    ...pageNotes(config),
    ...guessedNotes(config),
    ...unusedNotes(config),
    ...runNotes(config, find),
    ...loadNotes(config),
  ]
}

/** Kinds that load the model that a request names. */
const LOADING: readonly EngineKind[] = ['ollama', 'lmstudio', 'llamaswap']

/** What a request without a model would load, as far as the configuration tells. Pure. */
function loadNotes({ upstreams }: Pick<Config, 'upstreams'>): string[] {
  return upstreams.flatMap(({ spec: { name, engine, model, cold } }) =>
    model === null || cold === 'never' || !LOADING.includes(engine)
      ? []
      : [
          `A request without a model loads ${model} at ${name} if it is not in memory (${variableOf(name, 'MODEL')}).`,
        ],
  )
}

/** How it is found which model a request without one means, where nobody has chosen: only the running
 *  gate knows what is listed and in memory. Pure. */
export function choiceNotes({ upstreams }: Pick<Config, 'upstreams'>): string[] {
  return upstreams.flatMap(({ spec: { name, engine, model, cold } }) => {
    if (model !== null || !LOADING.includes(engine)) return []
    const rest = cold === 'never' ? '' : ', else loads the last that generated or the smallest'
    return [
      `A request without a model means the one in memory at ${name}${rest}. To choose one: ${variableOf(name, 'MODEL')}; gengate status --verbose shows which it is.`,
    ]
  })
}

/**
 * What is probably wrong with the engines that the gate is to start, a sentence each. Notes and no
 * errors: a program may be installed later, and a wrapper may map one port to another. Of a command
 * line nothing is repeated but the program's name and the port, since it may hold keys. Pure but for
 * `find`.
 */
function runNotes(config: Pick<Config, 'upstreams'>, find: FindProgram): string[] {
  return config.upstreams.flatMap((upstream) => [
    ...programNote(upstream, find),
    ...portNote(upstream),
  ])
}

/** Is the gate open to every web page there is? Pure. */
function pageNotes(config: Pick<Config, 'allowedOrigins' | 'apiKeys'>): string[] {
  if (config.apiKeys.length > 0 || !config.allowedOrigins.includes('null')) return []
  return [
    'GENGATE_ALLOWED_ORIGINS has null, which any web page can send: set GENGATE_API_KEYS, or leave it out.',
  ]
}

function programNote({ spec, run }: UpstreamConfig, find: FindProgram): string[] {
  if (run === null || find(run.command, run.env) !== null) return []
  const program = run.command.split('/').at(-1) ?? ''
  return [`${variableOf(spec.name, 'RUN')}: there is no program ${program} to start.`]
}

function portNote({ spec, run }: UpstreamConfig): string[] {
  const port = run === null ? null : portOf(run.args)
  const { port: wanted } = new URL(spec.url)
  if (port === null || wanted === '' || port === wanted) return []
  const [line, url] = [variableOf(spec.name, 'RUN'), variableOf(spec.name, 'URL')]
  return [`${line} has --port ${port}, and the gate looks at port ${wanted} (${url}).`]
}

/** The port that an engine is told by `--port N` or `--port=N`, which all of them know. */
function portOf(args: readonly string[]): string | null {
  const given = args.map((word, index) =>
    word === '--port' ? args[index + 1] : /^--port=(.*)$/s.exec(word)?.[1],
  )
  return given.findLast((port) => port !== undefined && /^\d{1,5}$/.test(port)) ?? null
}

/** What is set for upstreams that are not listed, a sentence each: legal, and perhaps a slip. Pure. */
export function unusedNotes({ unused, upstreams }: Pick<Config, 'unused' | 'upstreams'>): string[] {
  const listed = upstreams.map(({ spec }) => spec.name)
  const settings = Map.groupBy(unused, (name) => {
    const meaning = meaningOf(name)
    return meaning.kind === 'field' ? meaning.upstream : ''
  })
  return [...settings].map(([upstream, names]) => {
    const none = `${names.join(', ')} ${names.length === 1 ? 'has' : 'have'} no effect: no upstream ${upstream} is listed.`
    const meant = KNOWN_NAMES.includes(upstream)
      ? null
      : nearest(upstream, [...listed, ...KNOWN_NAMES])
    return `${none} ${meant === null ? 'GENGATE_UPSTREAMS lists them.' : `Did you mean ${meant}?`}`
  })
}

/** Upstreams that have their address from a name that is nearly another, a sentence each. Pure. */
function guessedNotes({ upstreams, settings }: Pick<Config, 'upstreams' | 'settings'>): string[] {
  return upstreams.flatMap(({ spec: { name, engine, url } }) => {
    const setting = settings.find((one) => one.name === variableOf(name, 'URL'))
    const meant = KNOWN_NAMES.includes(name) ? null : nearest(name, KNOWN_NAMES)
    // `ollama2` and `ollama_big` are what they look like.
    const isNamed =
      meant !== null && /^[_\d]/.test(name.slice(meant.length)) && name.startsWith(meant)
    if (setting?.source !== 'default' || meant === null || isNamed) return []
    return [`upstream ${name} is taken for ${engine} at ${url} by its name. Did you mean ${meant}?`]
  })
}
