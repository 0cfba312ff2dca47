import { createHash } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Makes a store of Ollama's with one model from a GGUF, as `ollama create` would, which needs a
 * `llama-quantize` that its own build does not make. The weights are a hard link. Layout:
 * `manifest/manifest.go` and `types/model/` of ollama/ollama v0.33.0.
 */
export function writeOllamaStore(gguf: string, store: string, name: string): void {
  const manifests = join(store, 'manifests', 'registry.ollama.ai', 'library', name)
  const manifest = join(manifests, 'latest')
  if (existsSync(manifest)) return
  mkdirSync(join(store, 'blobs'), { recursive: true })
  mkdirSync(manifests, { recursive: true })
  const weights = digestOf(readFileSync(gguf))
  if (!existsSync(join(store, 'blobs', weights))) linkSync(gguf, join(store, 'blobs', weights))
  const config = JSON.stringify({
    model_format: 'gguf',
    model_family: 'gemma3',
    model_families: ['gemma3'],
    model_type: '268.10M',
    file_type: 'F16',
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [weights.replace('-', ':')] },
  })
  writeFileSync(join(store, 'blobs', digestOf(config)), config)
  writeFileSync(
    manifest,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      config: {
        mediaType: 'application/vnd.docker.container.image.v1+json',
        digest: digestOf(config).replace('-', ':'),
        size: config.length,
      },
      layers: [
        {
          mediaType: 'application/vnd.ollama.image.model',
          digest: weights.replace('-', ':'),
          size: statSync(gguf).size,
        },
      ],
    }),
  )
}

/** As a blob's file is named. */
function digestOf(content: string | Buffer): string {
  return `sha256-${createHash('sha256').update(content).digest('hex')}`
}
