import t from 'tap'
import { configCheck } from '../../src/cli/config-commands.ts'
import { programsOf, runNotes } from '../../src/cli/run-notes.ts'
import { recordedIo, resultOf } from './recorded-io.ts'

// Goal: what would end in a crash loop, or in waiting for ever, is told before.
// Method: the pure function over configurations; once the command as a user sees it.

const URL_A = { GENGATE_UPSTREAMS: 'a=http://127.0.0.1:8391' }

function notesOf(run: string, env: Record<string, string> = {}): string[] {
  const result = resultOf({ ...URL_A, ...env, GENGATE_A_RUN: run })
  if (!result.ok) throw new Error(JSON.stringify(result.issues))
  return runNotes(result.config, (name) => (name === 'engine' ? '/bin/engine' : null))
}

t.test('runNotes() tells another port than that of the URL, and nothing else', async (t) => {
  const other = ['GENGATE_A_RUN has --port 8399, and the gate looks at port 8391 (GENGATE_A_URL).']
  t.same(notesOf('engine --port 8399 --api-key canary'), other)
  t.same(notesOf('engine --port=8399'), other)
  t.same(notesOf('engine --port 8391 --port 8399'), other, 'the last one counts')
  for (const run of ['engine --port 8391', 'engine', 'engine --port', 'engine --port any']) {
    t.same(notesOf(run), [], run)
  }
})

t.test('runNotes() names a program that is not there, without its folder', async (t) => {
  t.same(notesOf('/opt/secret/nosuch --api-key canary'), [
    'GENGATE_A_RUN: there is no program nosuch to start.',
  ])
})

t.test('runNotes() tells that any page can be one without an origin', async (t) => {
  const note = [
    'GENGATE_ALLOWED_ORIGINS has null, which any web page can send: set GENGATE_API_KEYS, or leave it out.',
  ]
  const allowed = { GENGATE_ALLOWED_ORIGINS: 'null' }
  t.same(notesOf('engine', allowed), note)
  t.same(notesOf('engine', { ...allowed, GENGATE_API_KEYS: 'k' }), [], 'a page has no key')
  t.same(notesOf('engine', { GENGATE_ALLOWED_ORIGINS: 'https://null' }), [])
})

t.test('programsOf() looks on the PATH of the line first', async (t) => {
  const find = programsOf({ env: { PATH: '/nowhere' } })
  t.equal(find('sh', {}), null)
  t.match(find('sh', { PATH: '/bin' }), /sh$/)
})

t.test('config check notes it and stays valid', async (t) => {
  const io = recordedIo()
  const result = resultOf({ ...URL_A, GENGATE_A_RUN: 'nosuch --port 1' })
  t.equal(configCheck({ json: false }, { io, result, envFile: null }), 0)
  t.match(JSON.stringify(io), /note: GENGATE_A_RUN: there is no program nosuch/)
  t.match(JSON.stringify(io), /note: GENGATE_A_RUN has --port 1,/)
})
