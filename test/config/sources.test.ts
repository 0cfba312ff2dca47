import t from 'tap'
import { envFilePath, gather } from '../../src/config/sources.ts'

// Rows of docs/faults.md that are shown here: config-quotes, config-encoding.

const file = (text: string): { path: string; text: string } => ({ path: '.env', text })

t.test('gather() lets the environment win and names what it shadows', async (t) => {
  const { given, shadowed, issues } = gather(
    { GENGATE_PORT: '1', GENGATE_HOST: 'same', GENGATE_POLICY: '', PATH: '/bin' },
    file('GENGATE_PORT=2\nGENGATE_HOST=same\nGENGATE_POLICY=x # why\nexport VLLM_MODEL=m\nPATH=y'),
  )
  t.same(Object.fromEntries(given), {
    GENGATE_PORT: { text: '1', source: 'env' },
    GENGATE_HOST: { text: 'same', source: 'env' },
    GENGATE_POLICY: { text: 'x', source: 'file' },
    VLLM_MODEL: { text: 'm', source: 'file' },
  })
  t.same(shadowed, ['GENGATE_PORT'])
  t.same(issues, [])
})

t.test('gather() reads files from Windows', async (t) => {
  const { given } = gather({}, file('\uFEFFGENGATE_PORT=1\r\nGENGATE_HOST=h\r\n'))
  t.same([...given.keys()].toSorted(), ['GENGATE_HOST', 'GENGATE_PORT'])
})

t.test('gather() does not lose a line of ours that has no =', async (t) => {
  const { issues } = gather({}, file('# GENGATE_A\nGENGATE_PORT 8010\n export GENGATE_HOST\nX'))
  t.same(
    issues.map(({ name }) => name),
    ['GENGATE_PORT', 'GENGATE_HOST'],
  )
})

t.test('GENGATE_ENV_FILE belongs into the environment', async (t) => {
  t.equal(envFilePath({}), '.env')
  t.equal(envFilePath({ GENGATE_ENV_FILE: ' ' }), '.env')
  t.equal(envFilePath({ GENGATE_ENV_FILE: '/etc/gate.env' }), '/etc/gate.env')
  t.match(gather({}, file('GENGATE_ENV_FILE=other')).issues, [{ name: 'GENGATE_ENV_FILE' }])
  t.same(gather({}, file('GENGATE_ENV_FILE=.env')).issues, [], 'naming itself is harmless')
  t.match(gather({ GENGATE_ENV_FILE: 'gone' }, null).issues, [{ message: /cannot be read/ }])
})

t.test('an env file that is not UTF-8 is told as such, and nothing of it is taken', async (t) => {
  const table: [what: string, bytes: Buffer, words: RegExp][] = [
    ['Latin-1', Buffer.from('GENGATE_PORT=1\n# f\xfcr uns\n', 'latin1'), /not UTF-8 \(line 2\)/],
    ['UTF-16', Buffer.from('\uFEFFGENGATE_PORT=1\r\n', 'utf16le'), /is UTF-16.*save it as UTF-8/],
    ['UTF-16 without a mark', Buffer.from('GENGATE_PORT=1\n', 'utf16le'), /is UTF-16/],
    ['a NUL', Buffer.from('GENGATE_PORT=1\nGENGATE_HOST=h\0\n'), /holds a NUL \(line 2\)/],
  ]
  for (const [what, bytes, words] of table) {
    const { given, issues } = gather({ GENGATE_HOST: 'h' }, file(bytes.toString('utf8')))
    t.match(issues, [{ name: '.env', message: words }], what)
    t.equal(issues.length, 1, what)
    t.same([...given.keys()], ['GENGATE_HOST'], what)
  }
})

t.test('gather() finds names behind what no editor shows', async (t) => {
  const { given } = gather(
    {},
    file('GENGATE_HOST=h\n\uFEFFGENGATE_PORT=1\n\u00a0export VLLM_MODEL=m'),
  )
  t.same([...given.keys()], ['GENGATE_HOST', 'GENGATE_PORT', 'VLLM_MODEL'])
})

t.test('gather() reads files of an old Mac', async (t) => {
  t.same([...gather({}, file('GENGATE_HOST=h\rGENGATE_PORT=1\r')).given.keys()].length, 2)
})

t.test('quotation marks in an env file lose nothing without a word', async (t) => {
  const table: [text: string, name: string, words: RegExp][] = [
    ['GENGATE_API_KEYS="a","b"', 'GENGATE_API_KEYS', /goes on after its closing "/],
    ['GENGATE_A_RUN="my engine" -m x', 'GENGATE_A_RUN', /goes on after its closing "/],
    ['GENGATE_HOST="h\nGENGATE_PORT="1"', 'GENGATE_HOST', /opens a " and does not close it/],
    ["VLLM_MODEL='m", 'VLLM_MODEL', /opens a ' and does not close it/],
    ['GENGATE_A_API_KEY=sk-1#2', 'GENGATE_A_API_KEY', /is cut at its #/],
  ]
  for (const [text, name, words] of table) {
    const { issues } = gather({}, file(`${text}\n`))
    t.match(issues, [{ name, message: words }], text)
    t.equal(issues.length, 1, text)
    t.notMatch(JSON.stringify(issues), /sk-1/)
  }
  for (const text of [
    'GENGATE_A_RUN=engine -m "a b" \'c\'',
    'export GENGATE_HOST="h"  # why\nGENGATE_PORT=1 # "so',
    'GENGATE_MODELS="a=x:m;\n  b=x:n"\nGENGATE_PORT=1',
    'OTHER="a" "b"\n# GENGATE_HOST="x',
  ]) {
    t.same(gather({}, file(text)).issues, [], text)
  }
})
