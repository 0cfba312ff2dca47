import { createHash } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A model as `ollama list` shows it. */
export interface OllamaModel {
  /** With its tag. */
  readonly name: `${string}:${string}`
  /** The file of its weights. */
  readonly gguf: string
  readonly family: string
  /** What `ollama show` calls parameters. */
  readonly parameters: string
  /** What `ollama show` calls quantization. */
  readonly quantization: string
}

/**
 * Adds models to a store of Ollama's, as `ollama create` would, which needs a `llama-quantize` that its own build
 * does not make. The weights are a hard link; what stands is left, unless the file of its weights is another one.
 * Layout: `manifest/manifest.go` and `types/model/` of ollama/ollama v0.33.0.
 */
export function writeOllamaStore(store: string, models: readonly OllamaModel[]): void {
  mkdirSync(join(store, 'blobs'), { recursive: true })
  for (const model of models) writeModel(store, model)
}

function writeModel(store: string, model: OllamaModel): void {
  const { gguf } = model
  const [name = '', tag = ''] = model.name.split(':')
  const folder = join(store, 'manifests', 'registry.ollama.ai', 'library', name)
  const manifest = join(folder, tag)
  if (isThere(store, manifest, gguf)) return
  mkdirSync(folder, { recursive: true })
  const weights = digestOf(readFileSync(gguf))
  if (!existsSync(blobOf(store, weights))) linkSync(gguf, blobOf(store, weights))
  const config = JSON.stringify({
    model_format: 'gguf',
    model_family: model.family,
    model_families: [model.family],
    model_type: model.parameters,
    file_type: model.quantization,
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [weights] },
  })
  writeFileSync(blobOf(store, digestOf(config)), config)
  const made: Manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    config: {
      mediaType: 'application/vnd.docker.container.image.v1+json',
      digest: digestOf(config),
      size: config.length,
    },
    layers: [
      {
        mediaType: 'application/vnd.ollama.image.model',
        digest: weights,
        size: statSync(gguf).size,
      },
    ],
  }
  writeFileSync(manifest, JSON.stringify(made))
}

interface Part {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

interface Manifest {
  readonly schemaVersion: number
  readonly mediaType: string
  readonly config: Part
  readonly layers: readonly Part[]
}

/** The hard link is the file itself: no need to read hundreds of megabytes. */
function isThere(store: string, manifest: string, gguf: string): boolean {
  if (!existsSync(manifest)) return false
  const { layers } = JSON.parse(readFileSync(manifest, 'utf8')) as Manifest
  const weights = statSync(blobOf(store, layers[0]?.digest ?? ''), { throwIfNoEntry: false })
  return weights?.ino === statSync(gguf).ino
}

function blobOf(store: string, digest: string): string {
  return join(store, 'blobs', digest.replace(':', '-'))
}

function digestOf(content: string | Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}
