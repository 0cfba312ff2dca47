import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { loadConfig } from '../../src/config/load.ts'
import { GLOBAL_SETTINGS } from '../../src/config/settings.ts'
import { DEFAULT_HOSTS, isHostAllowed } from '../../src/door/access.ts'
import { read } from './dockerfile.ts'

// Goal: compose.yaml and prometheus.yml are well formed, safe, and fit the gate. Method: closed
// shapes, so that a misspelt key is found; the settings go through the gate's own configuration.

/** Seconds, as Compose writes them. */
const seconds = z
  .string()
  .regex(/^\d+s$/)
  .transform((text) => Number(text.slice(0, -1)))

const Service = z.strictObject({
  build: z.strictObject({ context: z.string(), dockerfile: z.string() }).optional(),
  image: z.string().regex(/^[a-z.]+(?:\/[a-z0-9.-]+)*:(?:[\w.-]+|\$\{[A-Z_]+:-[\w.-]+\})$/),
  command: z.array(z.string().regex(/^--[a-z-]+(?:=.+)?$/)).optional(),
  shm_size: z.string().optional(),
  profiles: z.array(z.string()).optional(),
  ports: z.array(z.string()).default([]),
  environment: z.record(z.string(), z.string()).default({}),
  extra_hosts: z.array(z.string()).optional(),
  volumes: z.array(z.string()).default([]),
  read_only: z.boolean().default(false),
  tmpfs: z.array(z.string()).default([]),
  cap_drop: z.array(z.string()).default([]),
  security_opt: z.array(z.string()).default([]),
  init: z.boolean().default(false),
  stop_grace_period: seconds.optional(),
  restart: z.enum(['unless-stopped', 'always', 'on-failure', 'no']),
  healthcheck: z
    .strictObject({
      test: z.array(z.string()).min(2),
      interval: seconds,
      timeout: seconds,
      start_period: seconds,
      retries: z.int().positive(),
    })
    .optional(),
})

const Compose = z.strictObject({
  name: z.string(),
  services: z.strictObject({
    gate: Service,
    ollama: Service,
    'vllm-cpu': Service,
    llamacpp: Service,
    prometheus: Service,
  }),
  volumes: z.record(z.string(), z.null()),
})

const Prometheus = z.strictObject({
  global: z.strictObject({ scrape_interval: seconds }),
  scrape_configs: z.array(
    z.strictObject({
      job_name: z.string(),
      metrics_path: z.string(),
      static_configs: z.array(z.strictObject({ targets: z.array(z.string()) })),
    }),
  ),
})

const compose = Compose.parse(parse(read('docker/compose.yaml')))
const { gate, ollama, prometheus } = compose.services
const services = Object.entries(compose.services)
const { 'vllm-cpu': vllm, llamacpp } = compose.services

/** The gate's environment as Compose would pass it on, with these variables of the caller. */
function environment(of: Record<string, string> = {}): Record<string, string> {
  const filled = (value: string): string =>
    value.replaceAll(
      /\$\{([A-Z_]+):-([^}]*)\}/g,
      (_, name: string, preset: string) => of[name] ?? preset,
    )
  return Object.fromEntries(
    Object.entries(gate.environment).map(([name, value]) => [name, filled(value)]),
  )
}

const load = (of: Record<string, string> = {}) =>
  loadConfig({ env: environment(of), file: null, flags: { upstreams: [] }, readFile: () => null })
const loaded = load()

t.test('ports are published to 127.0.0.1 only, and the engine is not at all', async (t) => {
  for (const [name, { ports }] of services) {
    for (const port of ports) t.match(port, /^127\.0\.0\.1:\d+:\d+$/, `${name} ${port}`)
  }
  t.strictSame(gate.ports, ['127.0.0.1:8000:8000'])
  t.strictSame(ollama.ports, [])
})

t.test('the gate accepts these settings: every address, no key, one Ollama', async (t) => {
  if (!loaded.ok) {
    t.fail(JSON.stringify(loaded.issues))
    return
  }
  const { config } = loaded
  t.match(config, { host: '0.0.0.0', trustedBind: true, unused: [], embedded: { mode: 'off' } })
  t.equal(String(config.port), gate.ports[0]?.split(':').at(-1))
  const specs = config.upstreams.map(({ spec }) => spec)
  t.equal(specs.length, 1)
  t.match(specs[0], { name: 'ollama', engine: 'ollama', url: 'http://ollama:11434' })
})

t.test('each profile of an engine is an upstream that one variable puts in front', async (t) => {
  for (const [name, service, engine, upstream] of [
    ['vllm-cpu', vllm, 'vllm', 'vllm_cpu'],
    ['llamacpp', llamacpp, 'llamacpp', 'llamacpp'],
  ] as const) {
    t.strictSame(service.profiles, [name])
    t.strictSame(service.ports, [], 'clients go through the gate')
    const result = load({ GENGATE_UPSTREAMS: `${upstream},ollama` })
    const spec = result.ok ? result.config.upstreams[0]?.spec : undefined
    t.match(spec, { name: upstream, engine })
    const port = service.command?.find((flag) => flag.startsWith('--port='))?.split('=')[1]
    t.equal(spec?.url, `http://${name}:${port}`)
    t.ok(service.command?.includes('--host=0.0.0.0'), 'in a container loopback is the container')
  }
})

t.test('the gate has the rights of nobody, and time to drain', async (t) => {
  t.match(gate, {
    read_only: true,
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
    init: true,
    volumes: [],
    build: { context: '..', dockerfile: 'docker/Dockerfile' },
  })
  t.match(gate.tmpfs, [/^\/tmp:/])
  t.ok(Number(gate.stop_grace_period) * 1000 > Number(GLOBAL_SETTINGS.GENGATE_DRAIN_MS.default))
})

t.test('every service is watched: the gate by its image, the others here', async (t) => {
  t.equal(gate.healthcheck, undefined, 'it would hide that of the image')
  t.strictSame(ollama.healthcheck?.test, ['CMD', 'ollama', 'list'])
  t.strictSame(prometheus.healthcheck?.test, ['CMD', 'promtool', 'check', 'healthy'])
  for (const service of [vllm, llamacpp]) t.match(service.healthcheck?.test.join(' '), '/health')
  for (const [name, { security_opt, init }] of services) {
    t.strictSame(security_opt, ['no-new-privileges:true'], name)
    t.ok(init, name)
  }
})

t.test('volumes that are named are declared, and the other way round', async (t) => {
  const named = services
    .flatMap(([, { volumes }]) => volumes.map((volume) => volume.split(':')[0] ?? ''))
    // A folder of the caller's.
    .filter((source) => !/^[.$]/.test(source))
  t.strictSame(named.toSorted(), Object.keys(compose.volumes).toSorted())
  t.ok(ollama.volumes.some((volume) => volume.endsWith(':/root/.ollama')))
})

t.test('prometheus.yml: one job, for the gate by a name that the gate accepts', async (t) => {
  const { scrape_configs } = Prometheus.parse(parse(read('docker/prometheus.yml')))
  t.strictSame(prometheus.profiles, ['monitoring'])
  t.ok(prometheus.volumes.includes('./prometheus.yml:/etc/prometheus/prometheus.yml:ro'))
  t.equal(scrape_configs.length, 1)
  t.match(scrape_configs[0], { job_name: 'gengate', metrics_path: '/metrics' })
  const targets = scrape_configs.flatMap((job) => job.static_configs.flatMap((one) => one.targets))
  t.strictSame(targets, ['gate:8000'])
  const hosts = loaded.ok ? [...DEFAULT_HOSTS, ...loaded.config.allowedHosts] : []
  for (const target of targets) t.ok(isHostAllowed(target, hosts), target)
})
