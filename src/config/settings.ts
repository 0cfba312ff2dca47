import {
  anyText,
  bytes,
  milliseconds,
  oneOf,
  type RowValue,
  type SettingRow,
  type ValuesOf,
  wholeNumber,
  yesOrNo,
} from './types.ts'
import { apiKeys, embedded, host, hostNames, modelGroups, origins, upstreamList } from './values.ts'

const SECOND = 1_000
const HOUR = 3_600 * SECOND
const KIB = 1_024
const GIB = KIB * KIB * KIB

/**
 * THE table of settings, all but those of one upstream: parsing, `Config`, `config print`, what a change
 * needs, hints at misspelt names and docs/configuration.md (held by a test: a group is a table there) follow
 * from it. A name ends in the unit of its type: `_MS`, `_BYTES`.
 */
export const SETTING_GROUPS = {
  Listener: {
    GENGATE_HOST: {
      key: 'host',
      type: host,
      default: '127.0.0.1',
      restart: true,
      doc: 'Address to listen on. Anything but loopback needs `GENGATE_API_KEYS`.',
    },
    GENGATE_PORT: {
      key: 'port',
      type: wholeNumber(0, 65_535),
      default: '8000',
      restart: true,
      doc: 'Port to listen on; 0 takes any free one.',
    },
    GENGATE_ENV_FILE: {
      type: anyText,
      default: '.env',
      doc: 'File with more settings, read if present; one that you name must exist. Read again on SIGHUP and when it changes. Cannot be set in the file itself.',
    },
  },
  Upstreams: {
    GENGATE_UPSTREAMS: {
      type: upstreamList,
      default: 'vllm_metal,vllm_cpu,ollama',
      doc: 'Upstreams in order of preference, `name` or `name=url`, separated by commas. Names are small letters, digits and `_`. `serve --upstream [name=]url` says the same by flag and wins.',
    },
    LOCAL_LLM_BACKEND: {
      type: anyText,
      doc: 'Name of one of the upstreams: it moves to the front.',
    },
    GENGATE_POLICY: {
      key: 'routing',
      type: oneOf(['priority', 'least_busy']),
      default: 'priority',
      doc: '`priority`: the first eligible one. `least_busy`: the eligible one with the fewest requests in flight; the order breaks ties.',
    },
    GENGATE_EMBEDDED: {
      type: embedded,
      default: 'auto',
      doc: 'The engine inside the gate. `auto`: it joins only if neither `GENGATE_UPSTREAMS` nor any `_URL` is set and no default upstream answers, and leaves when one does. `off`: never. The path of a GGUF: it serves that model, after all others.',
      restart: true,
    },
  },
  'Engines that gengate run starts': {
    // What only `gengate run` reads has the names and defaults of the operators' older world. It is text here
    // and parsed where an engine is started: a wrong `VLLM_PORT` must not keep the gate from running.
    VLLM_HOST: {
      type: anyText,
      derived: 'from `_URL`, else `127.0.0.1`',
      doc: 'Address that a vLLM listens on.',
    },
    VLLM_PORT: {
      type: anyText,
      derived: 'from `_URL`',
      doc: 'Port that a vLLM listens on. Never the port of the gate.',
    },
    VLLM_VENV: {
      type: anyText,
      derived: '`~/.venv-vllm-metal` or `~/.venv-vllm-cpu`',
      doc: 'Virtual environment of vLLM. Unset and none there: for `vllm_cpu` the `vllm` on PATH.',
    },
    VLLM_PYTHON: {
      type: anyText,
      doc: 'Python that runs `vllm_cpu`: a path, or a name in the virtual environment. `vllm_metal` always takes the `python3` of its environment.',
    },
    VLLM_MAX_MODEL_LEN: {
      type: anyText,
      default: '1024',
      doc: 'Longest prompt and answer together, tokens.',
    },
    VLLM_DTYPE: {
      type: anyText,
      derived: '`float16` for `vllm_metal`',
      doc: 'Type of the weights.',
    },
    VLLM_CPU_KVCACHE_SPACE: {
      type: anyText,
      default: '1',
      doc: 'Memory for the key-value cache of `vllm_cpu`, GiB.',
    },
    OMP_NUM_THREADS: {
      type: anyText,
      default: '4',
      doc: 'Threads of a vLLM.',
    },
  },
  'Model names': {
    GENGATE_MODELS: {
      type: modelGroups,
      doc: 'Stable names for clients: `public=upstream:name|upstream:name; …`. Unset: one group, `default`, of the one model of each upstream; each of their names means the whole group.',
    },
    OPENCLAW_VLLM_MODEL: {
      type: anyText,
      doc: 'Model of each upstream called `vllm_…` that has no `_MODEL` of its own.',
    },
    VLLM_MODEL: {
      type: anyText,
      doc: 'The same, where `OPENCLAW_VLLM_MODEL` is unset.',
    },
  },
  Health: {
    GENGATE_DETECT_WITHIN_MS: {
      type: milliseconds(1_000, 120 * SECOND),
      default: '4000',
      doc: 'Target: after so long a wedged upstream gets no new request. Deadlines of probes follow from it.',
    },
    GENGATE_PROBE_INTERVAL_MS: {
      type: milliseconds(250, 600 * SECOND),
      default: '2000',
      doc: 'Between two probes of an idle upstream while clients are active.',
    },
    GENGATE_PROBE_QUIET_INTERVAL_MS: {
      type: milliseconds(SECOND, 24 * HOUR),
      default: '60000',
      doc: 'The same while no client is active. Engines that a probe would keep in memory are left alone for longer.',
    },
    GENGATE_PROBE_MAX_TOKENS: {
      key: 'probeMaxTokens',
      type: wholeNumber(1, 4),
      default: '1',
      doc: 'Tokens that a probe asks for; 2 to 4 also exercise the decoder.',
    },
  },
  'Time and size': {
    GENGATE_CONNECT_TIMEOUT_MS: {
      key: 'connectTimeoutMs',
      type: milliseconds(10, 60 * SECOND),
      default: '1000',
      doc: 'How long a connection to an upstream may take.',
    },
    GENGATE_COMMIT_DEADLINE_MS: {
      key: 'commitDeadlineMs',
      type: milliseconds(100, 600 * SECOND),
      default: '8000',
      doc: 'After this a waiting stream is answered with 200 and keep-alive comments, so that clients do not hang up. Failover stays possible.',
    },
    GENGATE_HOLD_MS: {
      key: 'holdMs',
      type: milliseconds(0, 600 * SECOND),
      default: '2000',
      doc: 'How long a request waits when no upstream can serve it, before the answer is 503.',
    },
    GENGATE_BODY_MAX_BYTES: {
      key: 'bodyMaxBytes',
      type: bytes(KIB, GIB),
      default: '67108864',
      doc: 'Largest request body that is buffered (64 MiB). Uploads are streamed and not limited.',
    },
    GENGATE_CONNECTIONS_MAX: {
      key: 'connectionsMax',
      type: wholeNumber(1, 1_000_000),
      // Makes 10,000 descriptors; macOS gives a process 10,240 (`kern.maxfilesperproc`).
      default: '5000',
      doc: 'Client connections at once; further ones are answered 503. Each may need a second file descriptor, to an upstream: `ulimit -n` must be twice as much.',
    },
    GENGATE_DRAIN_MS: {
      key: 'drainMs',
      type: milliseconds(0, HOUR),
      default: '30000',
      doc: 'How long running requests may go on when the gate is told to stop.',
    },
  },
  Access: {
    GENGATE_API_KEYS: {
      type: apiKeys,
      secret: true,
      doc: 'Keys that clients may use, separated by commas. Unset: no key is needed.',
    },
    GENGATE_API_KEYS_FILE: {
      type: anyText,
      doc: 'File with such keys, one a line. Keys of both settings count.',
    },
    GENGATE_TRUSTED_BIND: {
      key: 'trustedBind',
      type: yesOrNo,
      default: '0',
      doc: '`1`: listen beyond loopback without a key. For a container whose port is published to 127.0.0.1 only.',
    },
    GENGATE_ALLOWED_HOSTS: {
      type: hostNames,
      doc: 'Host names that clients may use, besides loopback names, IP addresses, `host.docker.internal` and `host.containers.internal`.',
    },
    GENGATE_ALLOWED_ORIGINS: {
      type: origins,
      doc: 'Origins of web pages that may send requests, as in `http://localhost:3000`. `null` names pages without an origin (files, sandboxed frames) and holds under `/v1/` only: any web page can make itself one, so set `GENGATE_API_KEYS` with it. Unset: none.',
    },
  },
  Logs: {
    GENGATE_LOG_LEVEL: {
      key: 'logLevel',
      type: oneOf(['debug', 'info', 'warn', 'error']),
      default: 'info',
      doc: '`debug`, `info`, `warn` or `error`.',
    },
  },
} as const satisfies Record<string, Record<string, SettingRow>>

/** The same by name. */
export const GLOBAL_SETTINGS = {
  ...SETTING_GROUPS.Listener,
  ...SETTING_GROUPS.Upstreams,
  ...SETTING_GROUPS['Engines that gengate run starts'],
  ...SETTING_GROUPS['Model names'],
  ...SETTING_GROUPS.Health,
  ...SETTING_GROUPS['Time and size'],
  ...SETTING_GROUPS.Access,
  ...SETTING_GROUPS.Logs,
}

export type GlobalName = keyof typeof GLOBAL_SETTINGS
export type GlobalValue<Name extends GlobalName> = RowValue<(typeof GLOBAL_SETTINGS)[Name]>
/** The settings that stand in `Config` as they are. */
export type GlobalValues = ValuesOf<typeof GLOBAL_SETTINGS>
