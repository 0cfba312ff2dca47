import { llamacppLine } from './llamacpp-line.ts'
import { ollamaLine } from './ollama-line.ts'
import type { Runnable, StartInput, Started } from './start-line.ts'
import { vllmLine } from './vllm-line.ts'

/** How this engine is started, or why it cannot be. Looks at the machine, changes nothing. */
export function startLine(engine: Runnable, input: StartInput): Started {
  switch (engine) {
    case 'vllm_cpu':
    case 'vllm_metal':
      return vllmLine(engine, input)
    case 'ollama':
      return ollamaLine(input)
    case 'llamacpp':
      return llamacppLine(input)
  }
}
