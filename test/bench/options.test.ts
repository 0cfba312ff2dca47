import t from 'tap'
import { haproxyConfig, nginxConfig } from '../../bench/configs.ts'
import { factLines, packageVersion } from '../../bench/facts.ts'
import { parseOptions } from '../../bench/options.ts'
import { MEASURES } from '../../bench/plan.ts'

t.test('parseOptions: everything by default', async (t) => {
  t.same(parseOptions([]), {
    quick: false,
    json: null,
    profile: null,
    compare: [],
    only: MEASURES,
    among: null,
  })
})

t.test('parseOptions keeps the order of the table, whatever was asked', async (t) => {
  const options = parseOptions(['--only', 'sse,unary-1k', '--quick', '--json', 'x.json'])
  t.match(options, { quick: true, json: 'x.json' })
  t.match(parseOptions(['--among', 'nginx,gengate']), { among: ['nginx', 'gengate'] })
  t.same(typeof options === 'object' && options.only, ['unary-1k', 'sse'])
})

t.test('parseOptions says what is wrong, and the usage with it', async (t) => {
  t.match(parseOptions(['--only', 'unary']), /no measure "unary"[^]*npm run bench/)
  t.match(parseOptions(['--fast']), /--fast[^]*npm run bench/)
  t.match(parseOptions(['--help']), /npm run bench/)
})

t.test('the yardsticks listen where they are told and lead to the stub', async (t) => {
  for (const text of [nginxConfig('/tmp/x', 4_001, 4_002), haproxyConfig(4_001, 4_002)]) {
    t.match(text, '127.0.0.1:4001')
    t.match(text, '127.0.0.1:4002')
  }
  t.match(nginxConfig('/tmp/x', 1, 2), 'proxy_buffering off')
})

t.test('facts name what a reader needs', async (t) => {
  t.match(packageVersion('fastify'), /^\d+\.\d+\.\d+$/)
  t.equal(packageVersion('no-such-package-here'), null)
  const known = { date: 'D', commit: 'C', node: 'N', machine: 'M', load: 'L' }
  const text = factLines(known, ['a 1', 'b 2']).join('\n')
  for (const part of ['D', 'C', 'N', 'M', 'L', 'a 1, b 2']) t.match(text, part)
})
