import t from 'tap'
import { lastWordsOf, TRANSCRIPT_STOPS, transcriptOf } from '../../src/embedded/generate.ts'

t.test('transcriptOf() writes a conversation that the assistant continues', async (t) => {
  const text = transcriptOf([
    { role: 'system', text: 'Be brief.' },
    { role: 'user', text: 'Hello! ' },
    { role: 'assistant', text: 'Hi.' },
    { role: 'user', text: 'Who?' },
  ])
  t.equal(text, 'Be brief.\n\nUser: Hello!\n\nAssistant: Hi.\n\nUser: Who?\n\nAssistant:')
  t.ok(
    TRANSCRIPT_STOPS.some((stop) => text.includes(stop)),
    'a turn of the user would end it',
  )
  t.match(transcriptOf([{ role: 'user', text: 'x' }]), /^A conversation.*\n\nUser: x/)
})

t.test('lastWordsOf() is what the user said last, without the end of the sentence', async (t) => {
  const turns = [
    { role: 'user', text: 'first' },
    { role: 'user', text: ' Is it the gate?! ' },
    { role: 'assistant', text: 'no' },
  ] as const
  t.equal(lastWordsOf(turns), ' Is it the gate')
  t.equal(lastWordsOf([]), ' ')
})
