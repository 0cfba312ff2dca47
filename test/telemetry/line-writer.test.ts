import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/runtime/clock.ts'
import {
  descriptorSink,
  LineWriter,
  type Sink,
  WAITING_LINES_MAX,
} from '../../src/telemetry/line-writer.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** A sink that is done when the test says so. */
class HandSink implements Sink {
  readonly texts: string[] = []
  #done: ((error: Error | null) => void) | null = null

  write(text: string, done: (error: Error | null) => void): void {
    this.texts.push(text)
    this.#done = done
  }

  finish(error: Error | null = null): void {
    const done = this.#done
    this.#done = null
    done?.(error)
  }
}

const dropped = (count: number): string => `${count} lost\n`

t.test('LineWriter keeps order and batches what comes during or soon after a write', async (t) => {
  const clock = new VirtualClock()
  const sink = new HandSink()
  const writer = new LineWriter(sink, clock, dropped)
  for (const line of ['a\n', 'b\n']) writer.write(line)
  t.strictSame(sink.texts, ['a\n'])
  sink.finish()
  writer.write('c\n')
  t.strictSame(sink.texts, ['a\n'], 'the next write is not due yet')
  await clock.advance(10)
  t.strictSame(sink.texts, ['a\n', 'b\nc\n'])
  await clock.advance(10)
  writer.write('d\n')
  t.strictSame(sink.texts, ['a\n', 'b\nc\n'], 'that one is still under way')
  sink.finish()
  t.strictSame(sink.texts, ['a\n', 'b\nc\n', 'd\n'])
  sink.finish()
  await clock.advance(10)
  t.equal(clock.pending, 0)
})

t.test('close() writes at once what waits for the next write', async (t) => {
  const clock = new VirtualClock()
  const sink = new HandSink()
  const writer = new LineWriter(sink, clock, dropped)
  writer.write('a\n')
  sink.finish()
  writer.write('b\n')
  const closed = writer.close()
  t.strictSame(sink.texts, ['a\n', 'b\n'])
  sink.finish()
  await closed
  t.equal(clock.pending, 0)
})

t.test('LineWriter drops what a blocked reader cannot take, and reports how much', async (t) => {
  const clock = new VirtualClock()
  const sink = new HandSink()
  const writer = new LineWriter(sink, clock, dropped)
  for (let i = 0; i < WAITING_LINES_MAX + 8; i++) writer.write(`${i}\n`)
  await clock.advance(10)
  sink.finish()
  t.match(sink.texts[1], /^1\n2\n/)
  t.match(sink.texts[1], new RegExp(`\n${WAITING_LINES_MAX}\n7 lost\n$`))
  writer.write('after\n')
  sink.finish()
  await clock.advance(10)
  t.equal(sink.texts[2], 'after\n', 'reported once')
})

t.test('LineWriter counts a batch that failed as dropped, and goes on', async (t) => {
  const clock = new VirtualClock()
  const sink = new HandSink()
  const writer = new LineWriter(sink, clock, dropped)
  writer.write('a\n')
  sink.finish(new Error('EPIPE'))
  writer.write('b\n')
  await clock.advance(10)
  t.equal(sink.texts[1], 'b\n1 lost\n')
})

t.test('close() waits for the rest, but not for ever', async (t) => {
  const clock = new VirtualClock()
  const sink = new HandSink()
  const writer = new LineWriter(sink, clock, dropped)
  await writer.close()
  writer.write('a\n')
  writer.write('b\n')
  let closed = 0
  const first = writer.close().then(() => closed++)
  sink.finish()
  await clock.advance(1)
  t.equal(closed, 0, 'b is under way')
  sink.finish()
  await first
  t.equal(clock.pending, 0)
  writer.write('c\n')
  const second = writer.close().then(() => closed++)
  await clock.advance(500)
  await second
  t.equal(closed, 2)
})

t.test('descriptorSink() writes everything to a file', async (t) => {
  const path = join(mkdtempSync(join(tmpdir(), 'gengate-log-')), 'log')
  const descriptor = openSync(path, 'w')
  const writer = new LineWriter(descriptorSink(descriptor, systemClock), systemClock, dropped)
  const lines = Array.from({ length: 500 }, (_, i) => `${i} ${'x'.repeat(500)}\n`)
  for (const line of lines) writer.write(line)
  await writer.close()
  closeSync(descriptor)
  t.equal(readFileSync(path, 'utf8'), lines.join(''))
})

t.test('a reader that stops does not stop the event loop', async (t) => {
  const script = `
    import { systemClock } from '${new URL('../../src/runtime/clock.ts', import.meta.url).href}'
    import { descriptorSink, LineWriter } from '${new URL('../../src/telemetry/line-writer.ts', import.meta.url).href}'
    const writer = new LineWriter(descriptorSink(1, systemClock), systemClock, (n) => n + ' lost\\n')
    for (let i = 0; i < 5000; i++) writer.write('x'.repeat(500) + '\\n')
    let turns = 0
    const timer = setInterval(() => {
      for (let i = 0; i < 100; i++) writer.write('y'.repeat(500) + '\\n')
      if (++turns === 20) { clearInterval(timer); process.stderr.write('alive\\n') }
    }, 5)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script])
  // Nobody reads its stdout until it has told, on stderr, that its timers ran.
  await new Promise((resolve) => child.stderr.once('data', resolve))
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await new Promise((resolve) => child.once('close', resolve))
  t.match(text, /\n\d+ lost\n/)
  t.ok(text.split('\n').length <= 2 * WAITING_LINES_MAX + 10)
})
