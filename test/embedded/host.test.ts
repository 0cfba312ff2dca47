// Goal: the embedded engine joins only where nothing else could answer, and leaves a real one alone.
// Method: a fake engine under a virtual clock; a real socket where one must be seen.
import { once } from 'node:events'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import type { UpstreamSpec } from '../../src/core/upstream.ts'
import { EmbeddedHost, type EmbeddedMode } from '../../src/embedded/host.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** A host whose engine serves as soon as it is started. */
async function hosting(mode: EmbeddedMode, urls: readonly string[] = []) {
  const clock = urls.length > 0 ? systemClock : new VirtualClock()
  const specs: (UpstreamSpec | null)[] = []
  const paths: (string | null)[] = []
  const state = { inFlight: 0, stops: 0 }
  const host = new EmbeddedHost({
    clock,
    urls,
    onSpec: (spec) => specs.push(spec),
    onMessage: () => {},
    inFlight: () => state.inFlight,
    start({ modelPath, onReady }) {
      paths.push(modelPath)
      onReady('http://127.0.0.1:9', 'toy')
      return { pid: 1, stop: async () => void state.stops++ }
    },
  })
  await host.start(mode)
  return { host, clock, specs, paths, state }
}

async function listening(t: Test): Promise<string> {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

t.test('start() by mode, and by what answers already', async (t) => {
  t.same((await hosting({ mode: 'off' })).paths, [])
  const auto = await hosting({ mode: 'auto' })
  t.same(auto.paths, [null], 'the toy')
  t.match(auto.specs, [{ name: 'embedded', url: 'http://127.0.0.1:9', model: 'toy' }])
  t.same((await hosting({ mode: 'path', path: '/m.gguf' })).paths, ['/m.gguf'])
  const url = await listening(t)
  t.same((await hosting({ mode: 'auto' }, [url])).paths, [], 'an engine could be running there')
  t.same((await hosting({ mode: 'path', path: '/m.gguf' }, [url])).paths, ['/m.gguf'])
})

t.test('a real upstream drives out the toy, once its answers are finished', async (t) => {
  const { host, clock, specs, state } = await hosting({ mode: 'auto' })
  state.inFlight = 1
  host.realUpstreamPassed()
  host.realUpstreamPassed()
  t.equal(specs.length, 2)
  t.equal(specs[1], null, 'it gets nothing new')
  t.equal(state.stops, 0)
  if (!(clock instanceof VirtualClock)) throw new Error('a virtual clock')
  await clock.advance(10_000)
  t.equal(state.stops, 0, 'its answer is not cut')
  state.inFlight = 0
  await clock.advance(500)
  t.equal(state.stops, 1)
  await host.start({ mode: 'auto' })
  t.equal(specs.length, 2, 'it has left for good')
})

t.test('a model of the operator stays', async (t) => {
  const { host, specs, state } = await hosting({ mode: 'path', path: '/m.gguf' })
  host.realUpstreamPassed()
  t.equal(specs.length, 1)
  await host.stop()
  t.equal(state.stops, 1)
})
