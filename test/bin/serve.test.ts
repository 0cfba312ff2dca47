// Goal: `gengate serve` as people start and end it: its port, its signals, its env file.
// Method: the launcher and the real program as processes of their own, on ports of 127.0.0.1.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { answers, run, serve, until } from './process.ts'

t.test('SIGTERM ends the gate with 0 and frees its port', async (t) => {
  const { child, log, port, ended } = await serve(t)
  t.ok(await answers(port))
  child.kill('SIGTERM')
  t.same(await ended, [0, null], log.text)
  t.notOk(await answers(port))
})

t.test('SIGKILL ends the gate and frees its port, whichever process is hit', async (t) => {
  const { child, port, ended } = await serve(t)
  t.ok(await answers(port))
  child.kill('SIGKILL')
  t.same(await ended, [null, 'SIGKILL'])
  await until(async () => ((await answers(port)) ? undefined : true))
})

t.test('one Ctrl-C, which reaches launcher and gate alike, drains the gate', async (t) => {
  const { child, log, port, ended } = await serve(t)
  if (child.pid === undefined) throw new Error('not started')
  process.kill(-child.pid, 'SIGINT')
  t.same(await ended, [0, null], log.text)
  t.notOk(await answers(port))
})

t.test('the running gate reads its env file anew by itself and at SIGHUP', async (t) => {
  const { child, log, port, cwd, ended } = await serve(t)
  writeFileSync(join(cwd, '.env'), 'GENGATE_HOLD_MS=soon\n')
  await until(() => (/GENGATE_HOLD_MS must be/.test(log.text) ? true : undefined))
  child.kill('SIGHUP')
  await until(() =>
    (log.text.match(/GENGATE_HOLD_MS must be/g) ?? []).length > 1 ? true : undefined,
  )
  const status = run(['status', '--json'], { GENGATE_PORT: String(port) })
  t.match(JSON.parse(status.stdout), { config: { ok: false, error: /GENGATE_HOLD_MS/ } })
  child.kill('SIGTERM')
  t.same(await ended, [0, null])
})
