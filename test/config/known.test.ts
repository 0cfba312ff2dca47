import t from 'tap'
import { defaultUrl, didYouMean, editDistance, nameFor } from '../../src/config/known.ts'
import { engineOf } from '../../src/engines/index.ts'
import type { EngineKind } from '../../src/core/upstream.ts'

t.test('engineOf() reads the kind from the front of the name', async (t) => {
  const cases: [EngineKind, string[]][] = [
    ['vllm', ['vllm', 'vllm_cpu', 'vllm2', 'vllm_metallic']],
    ['vllm_metal', ['vllm_metal', 'vllm_metal2', 'vllm_metal_big']],
    ['ollama', ['ollama_big']],
    ['llamacpp', ['llamacpp2']],
    ['mlx', ['mlx_']],
    ['sglang', ['sglang']],
    ['lmstudio', ['lmstudio']],
    ['llamaswap', ['llamaswap']],
    ['openai', ['ollamas', 'my_ollama', 'big']],
  ]
  for (const [kind, names] of cases) {
    for (const name of names) t.equal(engineOf(name), kind, name)
  }
})

// docs/configuration.md tells the ports, and a test holds it to them.
t.test('defaultUrl() follows the name, else the engine', async (t) => {
  t.equal(defaultUrl('vllm_cpu', 'openai'), 'http://127.0.0.1:8001', 'of another kind')
  t.equal(defaultUrl('big', 'ollama'), 'http://127.0.0.1:11434')
  t.equal(defaultUrl('big', 'openai'), null)
  t.equal(defaultUrl('embedded', 'embedded'), null)
})

t.test('nameFor() takes the engine of the port, if its name is free', async (t) => {
  t.equal(nameFor('http://box:11434', new Set()), 'ollama')
  t.equal(nameFor('http://box:8080', new Set()), 'llamacpp')
  t.equal(nameFor('http://box:8080', new Set(['llamacpp'])), 'mlx')
  t.equal(nameFor('http://box:8080', new Set(['llamacpp', 'mlx'])), 'llamaswap')
  t.equal(nameFor('http://box:8080', new Set(['llamacpp', 'mlx', 'llamaswap'])), 'upstream_1')
  t.equal(nameFor('https://box', new Set(['upstream_1', 'upstream_2'])), 'upstream_3')
})

t.test('editDistance() counts a swap of neighbours once', async (t) => {
  const cases: [string, string, number][] = [
    ['', '', 0],
    ['', 'abc', 3],
    ['abc', '', 3],
    ['PROT', 'PORT', 1],
    ['URI', 'URL', 1],
    ['kitten', 'sitting', 3],
  ]
  for (const [a, b, edits] of cases) t.equal(editDistance(a, b), edits, `${a} ${b}`)
})

t.test('didYouMean() asks for the nearest known name, and for none that is far', async (t) => {
  const known = ['vllm_metal', 'vllm_cpu', 'ollama', 'llamacpp', 'lmstudio']
  const cases: [string, string][] = [
    ['vlm_cpu', 'vllm_cpu'],
    ['VLLM-CPU', 'vllm_cpu'],
    ['vllm_mteal', 'vllm_metal'],
    ['metal', 'vllm_metal'],
    ['olama', 'ollama'],
    ['llama.cpp', 'llamacpp'],
    ['lm_studio', 'lmstudio'],
  ]
  for (const [written, meant] of cases) {
    t.equal(didYouMean(written, known), ` Did you mean ${meant}?`, written)
  }
  for (const written of ['big', 'openrouter', '']) t.equal(didYouMean(written, known), '', written)
})
