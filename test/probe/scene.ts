import t, { type Test } from 'tap'
import type { UpstreamSpec } from '../../src/core/upstream.ts'
import { Stage } from './fake-wire.ts'

/** A test over a started control plane that must leave nothing behind. */
export function scene(
  name: string,
  specs: readonly UpstreamSpec[],
  body: (t: Test, it: Stage) => Promise<void>,
): void {
  t.test(name, async (t) => {
    const it = new Stage(...specs)
    it.prober.start()
    await body(t, it)
    await it.prober.stop()
    t.equal(it.clock.pending, 0, 'no timer outlives stop()')
    t.equal(it.wire.inFlight, 0, 'no probe outlives stop()')
  })
}
