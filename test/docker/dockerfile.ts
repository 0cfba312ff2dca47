import { readFileSync } from 'node:fs'

/** One instruction of a Dockerfile: its keyword and the rest, continued lines joined. */
export interface Instruction {
  readonly keyword: string
  readonly rest: string
}

/** A file of the repository, by its path from the root. */
export function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
}

/** The instructions of docker/Dockerfile by stage; what stands before the first FROM is stage 0. */
export function readStages(): Instruction[][] {
  const joined = read('docker/Dockerfile')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
  const stages: Instruction[][] = [[]]
  for (const line of joined.split('\n').filter((line) => line.trim() !== '')) {
    const [, keyword = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    if (keyword === '') throw new Error(`no instruction: ${line}`)
    if (keyword === 'FROM') stages.push([])
    stages.at(-1)?.push({ keyword, rest })
  }
  return stages
}

/** What the last instruction with this keyword says; undefined: there is none. */
export function lastOf(stage: readonly Instruction[], keyword: string): string | undefined {
  return stage.findLast((one) => one.keyword === keyword)?.rest
}

/** The words of an exec form (`["node", "x"]`); null for a shell form, which would take signals. */
export function execForm(text: string | undefined): string[] | null {
  if (text === undefined || !text.startsWith('[')) return null
  const words: unknown = JSON.parse(text)
  const isList = Array.isArray(words) && words.every((word) => typeof word === 'string')
  return isList ? words : null
}
