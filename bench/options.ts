import { parseArgs } from 'node:util'
import { type Measure, MEASURES } from './plan.ts'

/** What was asked on the command line. */
export interface Options {
  readonly quick: boolean
  /** Where the raw numbers go; null: nowhere. */
  readonly json: string | null
  /** Directory of the CPU profiles; null: measure instead. */
  readonly profile: string | null
  /** Other checkouts of the gate. */
  readonly compare: readonly string[]
  readonly only: readonly Measure[]
  /** Names of contenders; null: all. */
  readonly among: readonly string[] | null
}

export const USAGE = `npm run bench -- [options]

  --quick          does it run at all: under a minute, numbers without meaning
  --only A,B       some measures only: ${MEASURES.join(', ')}
  --among A,B      some contenders only: direct, nginx, HAProxy, http-proxy, gengate
  --compare DIR    measure the gate of another checkout in the same rounds (repeatable)
  --json FILE      the value of each round as JSON
  --profile DIR    CPU profiles of the gate (unary, stream) into DIR, and where the time goes
`

/** Reads the command line; text is what is wrong with it, or the usage. Pure. */
export function parseOptions(args: readonly string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'string' },
        profile: { type: 'string' },
        compare: { type: 'string', multiple: true, default: [] },
        only: { type: 'string' },
        among: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) return USAGE
    const names = values.only === undefined ? [...MEASURES] : values.only.split(',')
    const only = MEASURES.filter((measure) => names.includes(measure))
    const unknown = names.find((name) => !only.some((measure) => measure === name))
    if (unknown !== undefined) return `There is no measure "${unknown}".\n\n${USAGE}`
    const { quick, json = null, profile = null, compare } = values
    return { quick, json, profile, compare, only, among: values.among?.split(',') ?? null }
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`
  }
}
