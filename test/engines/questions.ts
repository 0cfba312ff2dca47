import { readFileSync } from 'node:fs'

// What the transcripts ask, as a user types it.

/** The command that README.md tells people to run first, word for word but for a port that is taken. */
export function readmeCurl(port: number): string {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const found = /^curl -N localhost:8000[\s\S]*?(?=\n```)/m.exec(readme)?.[0]
  if (found === undefined) throw new Error('README.md has no `curl -N localhost:8000` any more')
  return port === 8000 ? found : found.replace('localhost:8000', `localhost:${port}`)
}

/** Asks for a chat; with the head of its answer. */
export function chat(port: number, body: Readonly<Record<string, unknown>>): string {
  const messages = [{ role: 'user', content: 'hello' }]
  return post(port, 'chat/completions', { ...body, messages, max_tokens: 8 })
}

export function embedding(port: number, model: string): string {
  return post(port, 'embeddings', { model, input: 'hello' })
}

function post(port: number, route: string, body: Readonly<Record<string, unknown>>): string {
  const url = `localhost:${port}/v1/${route}`
  return `curl -si ${url} -H 'content-type: application/json' \\\n  -d '${JSON.stringify(body)}'`
}

/** A whole stream: what it must show. */
export const STREAM: readonly RegExp[] = [/data: \{/, /data: \[DONE\]/]
