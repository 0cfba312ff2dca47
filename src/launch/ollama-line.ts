import { originOf } from '../runtime/address.ts'
import { placeOf } from './address.ts'
import { refused, type StartInput, type Started } from './start-line.ts'

/** The start line of an Ollama, which takes its address by a variable. Pure. */
export function ollamaLine(input: StartInput): Started {
  // It has no flags for an address.
  const placed = placeOf(
    'ollama',
    { ...input, flags: [] },
    {
      host: null,
      port: null,
      portName: 'GENGATE_OLLAMA_URL',
    },
  )
  if (!placed.ok) return placed
  const command = input.machine.program('ollama')
  if (command === null) {
    return refused('there is no ollama on PATH.', 'Install it: https://ollama.com/download')
  }
  const { host, port, notes } = placed.place
  return {
    ok: true,
    line: {
      engine: 'ollama',
      command,
      args: ['serve', ...input.flags],
      env: { OLLAMA_HOST: originOf({ host, port }).replace('http://', '') },
      unset: [],
      pathFirst: null,
      host,
      port,
      notes: [
        ...notes,
        // Its OpenAI layer has no such field (`openai/openai.go`); seen with 0.33.0-rc2.
        'Ollama ignores max_completion_tokens: clients that want a limit must send max_tokens.',
      ],
    },
  }
}
