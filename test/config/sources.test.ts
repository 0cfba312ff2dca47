import t from 'tap'
import { envFilePath, gather } from '../../src/config/sources.ts'

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
