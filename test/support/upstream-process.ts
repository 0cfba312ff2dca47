import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { childEnv } from './child-env.ts'
import { type FakeOptions, FakeUpstream } from './fake-upstream.ts'

/** A fake upstream in a process of its own, which can be frozen as a whole. */
export interface UpstreamProcess {
  readonly url: string
  /** SIGSTOP: the kernel still accepts connections, nothing answers. */
  stop(): void
  /** SIGCONT. */
  cont(): void
}

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

export async function upstreamProcess(
  t: Teardown,
  options: FakeOptions = {},
): Promise<UpstreamProcess> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)], {
    execArgv: [],
    env: childEnv(),
  })
  t.teardown(async () => {
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  })
  const [port] = (await once(child, 'message')) as [number]
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => child.kill('SIGSTOP'),
    cont: () => child.kill('SIGCONT'),
  }
}

const [, entry, options] = process.argv
if (entry === fileURLToPath(import.meta.url) && options !== undefined) {
  const fake = new FakeUpstream(JSON.parse(options) as FakeOptions)
  await fake.listen()
  process.send?.(fake.port)
  // Without its parent nobody would end it.
  process.on('disconnect', () => process.exit())
}
