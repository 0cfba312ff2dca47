import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ggufOf, isWanted, programOf, REAL_ENGINES } from './installed.ts'
import { type OllamaModel, writeOllamaStore } from './ollama-store.ts'
import { startLine } from './start-lines.ts'

// Goal: an engine that must be tested and is not there fails its tests. Nothing is ever skipped.

t.test('ENGINES: one that is named and missing fails, and says how to get it', async (t) => {
  const env = { ENGINES_DIR: t.testdir(), PATH: '' }
  for (const engine of REAL_ENGINES) {
    t.equal(programOf(engine, env), null)
    const message = `${engine} is not installed; run test/engines/install ${engine} (docs/engines.md)`
    t.throws(() => isWanted(engine, { ...env, ENGINES: engine }), { message })
    t.throws(() => startLine(engine, 1, env), /test\/engines\/install/)
    t.equal(isWanted(engine, env), false, 'without ENGINES only what is installed is tested')
  }
})

t.test('ENGINES: what is installed is tested, or what is named', async (t) => {
  const folder = t.testdir({ llama: { bin: { 'llama-server': '' } } })
  const env = { ENGINES_DIR: folder, PATH: '' }
  t.equal(isWanted('llamacpp', env), true)
  t.equal(isWanted('llamacpp', { ...env, ENGINES: ' llamacpp ' }), true)
  t.throws(() => isWanted('llamacpp', { ...env, ENGINES: 'vllm' }), /no such engine vllm; known: /)
  mkdirSync(join(folder, 'vllm', 'bin'), { recursive: true })
  writeFileSync(join(folder, 'vllm', 'bin', 'vllm'), '')
  t.equal(isWanted('vllm_cpu', { ...env, ENGINES: 'llamacpp' }), false)
  t.equal(isWanted('vllm_cpu', env), true)
})

t.test('an ollama on the PATH comes before one that was built', async (t) => {
  const folder = t.testdir({ bin: { ollama: '' }, ollama: { bin: { ollama: '' } } })
  const env = { ENGINES_DIR: folder }
  t.equal(programOf('ollama', { ...env, PATH: join(folder, 'bin') }), join(folder, 'bin', 'ollama'))
  t.equal(programOf('ollama', { ...env, PATH: '' }), join(folder, 'ollama', 'bin', 'ollama'))
})

t.test('the weights are those that the installer saw running', async (t) => {
  const folder = t.testdir({ llama: {} })
  const env = { ENGINES_DIR: folder }
  t.equal(ggufOf(env), join(folder, 'llama', 'gemma.gguf'))
  writeFileSync(join(folder, 'llama', 'model'), 'gemma-f16.gguf\n')
  t.equal(ggufOf(env), join(folder, 'llama', 'gemma-f16.gguf'))
})

t.test('a store of Ollama gets each model once, and other weights by its name', async (t) => {
  const folder = t.testdir({ 'a.gguf': 'weights of a', 'b.gguf': 'weights of b' })
  const store = join(folder, 'store')
  const details = { family: 'bert', parameters: '1M', quantization: 'F16' }
  const model: Omit<OllamaModel, 'gguf'> = { name: 'small:latest', ...details }
  const weightsOf = (name: string, tag: string): string => {
    const manifest = join(store, 'manifests', 'registry.ollama.ai', 'library', name, tag)
    const { layers } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      layers: { digest: string }[]
    }
    return readFileSync(join(store, 'blobs', layers[0]?.digest.replace(':', '-') ?? ''), 'utf8')
  }
  writeOllamaStore(store, [
    { ...model, gguf: join(folder, 'a.gguf') },
    { ...model, name: 'small:other', gguf: join(folder, 'b.gguf') },
  ])
  t.equal(weightsOf('small', 'latest'), 'weights of a')
  t.equal(weightsOf('small', 'other'), 'weights of b')
  t.equal(readdirSync(join(store, 'blobs')).length, 4, 'weights and a description of each')
  writeOllamaStore(store, [{ ...model, gguf: join(folder, 'b.gguf') }])
  t.equal(weightsOf('small', 'latest'), 'weights of b')
})
