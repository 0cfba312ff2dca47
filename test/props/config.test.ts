import { parseEnv } from 'node:util'
import * as fc from 'fast-check'
import t from 'tap'
import { type Config, loadConfig } from '../../src/config/load.ts'
import { FIELD_NAMES, GLOBAL_NAMES, variableOf } from '../../src/config/names.ts'
import { diffConfig, printConfig } from '../../src/config/print.ts'
import type { Env } from '../../src/config/sources.ts'
import { holds } from '../support/property.ts'

const load = (env: Env, text: string | null = null, upstreams: readonly string[] = []) =>
  loadConfig({
    env,
    file: text === null ? null : { path: '.env', text },
    flags: { upstreams },
    readFile: (path) => (path.length % 2 === 0 ? `${path}\n` : null),
  })

const NAMES = ['ollama', 'vllm_cpu', 'mlx2', 'big', 'a_b'] as const
const wholeNumber = (min: number, max: number) => fc.integer({ min, max }).map(String)
const key = fc.stringMatching(/^[a-z0-9-]{1,12}$/)
// All three quotation marks at once cannot be written in an env file, and one at an end is refused.
const model = fc.stringMatching(/^[A-Za-z#\\][\w/:.#'"\\ -]{0,20}[\w#\\]$/)
const url = fc
  .tuple(
    fc.constantFrom('http://box', 'https://llm.example', 'http://[fd00::1]', 'http://10.0.0.5'),
    fc.integer({ min: 1, max: 65_535 }),
    fc.constantFrom('', '/', '/v1', '/v1/', '/api/v1', '/deep/er'),
  )
  .map(([host, port, path]) => `${host}:${port}${path}`)
const some = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

/** A world that loads: names, and what is set for each. */
const validEnv = fc
  .tuple(
    fc.uniqueArray(fc.constantFrom(...NAMES), { minLength: 1 }),
    fc.record({
      GENGATE_PORT: some(wholeNumber(8005, 8050)),
      GENGATE_POLICY: some(fc.constantFrom('priority', 'least_busy')),
      GENGATE_EMBEDDED: some(fc.constantFrom('off', 'auto', '/m/a b.gguf', './it#s')),
      GENGATE_DETECT_WITHIN_MS: some(wholeNumber(1000, 120_000)),
      GENGATE_HOLD_MS: some(wholeNumber(0, 600_000)),
      GENGATE_API_KEYS: some(fc.array(key, { minLength: 1 }).map((keys) => keys.join(', '))),
      GENGATE_ALLOWED_ORIGINS: some(fc.constantFrom('http://a:1', 'app://x, https://b/')),
      OPENCLAW_VLLM_MODEL: some(model),
      GENGATE_TRUSTED_BIND: some(fc.constantFrom('0', '1', 'true')),
    }),
    fc.array(fc.tuple(url, some(model), some(key), some(wholeNumber(1, 9)), fc.boolean()), {
      minLength: NAMES.length,
      maxLength: NAMES.length,
    }),
    some(model.filter((name) => !/[;|]/.test(name))),
    fc.boolean(),
  )
  .map(([names, globals, fields, grouped, inList]) => {
    const env: Record<string, string | undefined> = { ...globals }
    env['GENGATE_UPSTREAMS'] = names
      .map((name, i) => (inList && fields[i] !== undefined ? `${name}=${fields[i][0]}` : name))
      .join(',')
    for (const [i, [address, chosen, secret, cap, prefer]] of fields.entries()) {
      const name = NAMES[i] ?? 'big'
      if (!inList || !names.includes(name)) env[variableOf(name, 'URL')] = address
      env[variableOf(name, 'MODEL')] = chosen
      env[variableOf(name, 'API_KEY')] = secret
      env[variableOf(name, 'MAX_CONCURRENCY')] = cap
      if (prefer && names.includes(name)) env['LOCAL_LLM_BACKEND'] = name
    }
    if (grouped !== undefined) env['GENGATE_MODELS'] = `pub/lic=${names[0]}:${grouped}`
    return env
  })

/** What a configuration does, without where it comes from. */
function effect(config: Config): Partial<Config> {
  const { settings: _, shadowed: __, ...rest } = config
  return rest
}

/** Printed lines as a file, with the keys that they do not show. */
function asFile(lines: readonly string[], env: Env): string {
  return lines
    .map((line) => line.replace(/^(\w+)=\(set\)/, (_, name: string) => `${name}='${env[name]}'`))
    .join('\n')
}

t.test('a configuration that is printed and loaded again is the same', async (t) => {
  holds(
    t,
    'round trip through the printed lines, and through those that are no default',
    fc.property(validEnv, (env) => {
      const first = load(env)
      if (!first.ok) throw new Error(JSON.stringify(first.issues))
      const lines = printConfig(first.config)
      const chosen = lines.filter((line) => !line.endsWith('# default'))
      for (const printed of [lines, chosen]) {
        const second = load({}, asFile(printed, env))
        if (!second.ok) throw new Error(JSON.stringify(second.issues))
        const before = JSON.stringify(effect(first.config))
        const after = JSON.stringify(effect(second.config))
        if (before !== after) throw new Error(`${before}\n${after}`)
        if (diffConfig(first.config, second.config).changed.length > 0) throw new Error('differs')
      }
      return true
    }),
    300,
  )
})

t.test('each printed line is one that parseEnv reads back', async (t) => {
  holds(
    t,
    'value for value',
    fc.property(validEnv, (env) => {
      const first = load(env)
      if (!first.ok) return false
      const read = parseEnv(printConfig(first.config).join('\n'))
      return first.config.settings.every(({ name, value }) => read[name] === value)
    }),
    300,
  )
})

const anyName = fc.oneof(
  fc.constantFrom<string>(...GLOBAL_NAMES),
  fc
    .tuple(fc.constantFrom(...NAMES, 'x'), fc.constantFrom(...FIELD_NAMES))
    .map(([name, field]) => variableOf(name, field)),
  fc.string().map((rest) => `GENGATE_${rest}`),
  fc.string(),
)
const anyValue = fc.oneof(
  fc.string({ unit: 'binary' }),
  url,
  fc.constantFrom(
    '',
    '0',
    '1',
    'auto',
    'ollama,big',
    'a=b:c',
    'http://',
    'http://[',
    '::',
    '(set)',
  ),
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
)

t.test('loadConfig() never throws, whatever the world holds', async (t) => {
  holds(
    t,
    'environment, file and flags of garbage',
    fc.property(
      fc.dictionary(anyName, anyValue),
      fc.oneof(fc.constant(null), fc.string(), fc.array(fc.tuple(anyName, anyValue)).map(lines)),
      fc.array(anyValue, { maxLength: 3 }),
      (env, text, flags) => {
        const loaded = load(env, text, flags)
        return loaded.ok ? printConfig(loaded.config).length > 0 : loaded.issues.length > 0
      },
    ),
    2000,
  )
})

function lines(pairs: readonly (readonly [string, string])[]): string {
  return pairs.map(([name, value]) => `${name}=${value}`).join('\n')
}

t.test('a secret never leaves by an issue or a printed line', async (t) => {
  const secret = 'S3CRET'
  const around = fc.string({ maxLength: 5 })
  holds(
    t,
    'keys and URLs with the secret anywhere in them',
    fc.property(
      fc.constantFrom('GENGATE_API_KEYS', 'GENGATE_OLLAMA_API_KEY', 'GENGATE_X_API_KEY'),
      around,
      around,
      (name, before, after) => {
        const loaded = load({ [name]: `${before}${secret}${after}` })
        const shown = loaded.ok
          ? printConfig(loaded.config).join('\n')
          : JSON.stringify(loaded.issues)
        const byUrl = load({ GENGATE_OLLAMA_URL: `http://u:${before}${secret}${after}@box:1` })
        return !shown.includes(secret) && !byUrl.ok && !JSON.stringify(byUrl).includes(secret)
      },
    ),
    1000,
  )
})
