import t from 'tap'
import { type CpuProfile, groupOf, profileText, selfTimes } from '../../bench/self-time.ts'

const frame = (functionName: string, url = '', lineNumber = 0) => ({
  functionName,
  url,
  lineNumber,
})

const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(idle)') },
    { id: 2, callFrame: frame('take', 'file:///x/src/proxy/upstream/pools.ts', 9) },
    { id: 3, callFrame: frame('take', 'file:///x/src/proxy/upstream/pools.ts', 9) },
    {
      id: 4,
      callFrame: frame('dispatch', 'file:///x/node_modules/undici/lib/dispatcher/client.js'),
    },
  ],
  samples: [1, 2, 4, 3, 1],
  timeDeltas: [0, 1_000, 300, 100, 600],
}

t.test(
  'selfTimes gives each sample the time until the next one, and no time to idling',
  async (t) => {
    const { groups, functions } = selfTimes(profile)
    t.same(groups, [
      { name: 'gengate proxy', share: 0.9 },
      { name: 'undici', share: 0.1 },
    ])
    t.equal(functions[0]?.name, 'take upstream/pools.ts:10 [gengate proxy]')
    t.equal(functions[0]?.share, 0.9, 'one function of two nodes')
  },
)

t.test('selfTimes of an idle profile is empty', async (t) => {
  t.same(selfTimes({ nodes: profile.nodes, samples: [], timeDeltas: [] }).groups, [])
})

t.test('groupOf names packages, rooms, parts of Node and the engine', async (t) => {
  const cases = [
    ['file:///x/node_modules/@fastify/error/index.js', 'f', '@fastify/error'],
    ['file:///x/node_modules/a/node_modules/b/c.js', 'f', 'b'],
    ['file:///x/src/main.ts', 'f', 'gengate main.ts'],
    ['file:///x/src/core/table.ts', 'f', 'gengate core'],
    ['node:internal/streams/writable', 'f', 'node:streams'],
    ['node:_http_server', 'f', 'node:_http_server'],
    ['', 'writev', 'native code'],
    ['', '(garbage collector)', 'garbage collector'],
    ['wasm://wasm/1', 'f', 'other'],
  ] as const
  for (const [url, name, group] of cases) t.equal(groupOf(url, name), group, url || name)
})

t.test('profileText prints the largest first and no more than was asked', async (t) => {
  const text = profileText('unary', profile, 1)
  t.match(text, /90\.0 % {2}gengate proxy/)
  t.notMatch(text, /undici/)
})
