/** A V8 CPU profile, as far as it is read here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: {
      readonly functionName: string
      readonly url: string
      readonly lineNumber: number
    }
  }[]
  /** Node ids, one per sample. */
  readonly samples: readonly number[]
  /** µs since the sample before, one per sample. */
  readonly timeDeltas: readonly number[]
}

/** The share of the busy time that was spent in a function or a group itself. */
export interface Share {
  readonly name: string
  readonly share: number
}

/** Self time by package or room, and by function, largest first; idle time is left out. Pure. */
export function selfTimes(profile: CpuProfile): {
  readonly groups: readonly Share[]
  readonly functions: readonly Share[]
} {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  const groups = new Map<string, number>()
  const functions = new Map<string, number>()
  let busyUs = 0
  profile.samples.forEach((id, i) => {
    const frame = frames.get(id)
    // A delta is the time before its sample; what ran until the next sample counts for this one.
    const us = profile.timeDeltas[i + 1] ?? 0
    if (frame === undefined || frame.functionName === '(idle)') return
    busyUs += us
    const group = groupOf(frame.url, frame.functionName)
    groups.set(group, (groups.get(group) ?? 0) + us)
    const line = frame.url === '' ? '' : ` ${tailOf(frame.url)}:${frame.lineNumber + 1}`
    const name = `${frame.functionName || '(anonymous)'}${line} [${group}]`
    functions.set(name, (functions.get(name) ?? 0) + us)
  })
  return { groups: shares(groups, busyUs), functions: shares(functions, busyUs) }
}

/** Whose code it is: a package, a room of ours, a part of Node, or the engine itself. Pure. */
export function groupOf(url: string, functionName: string): string {
  if (url === '') {
    if (functionName === '(garbage collector)') return 'garbage collector'
    return 'native code'
  }
  const inPackage = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1]
  if (inPackage !== undefined) return inPackage
  const node = /^node:(internal\/)?(?:deps\/)?([^/]+)/.exec(url)?.[2]
  if (node !== undefined) return `node:${node}`
  const room = /\/src\/(.+)$/.exec(url)?.[1]
  return room === undefined ? 'other' : `gengate ${room.replace(/\/.*/, '')}`
}

/** Two short lists. Pure. */
export function profileText(title: string, profile: CpuProfile, most: number): string {
  const { groups, functions } = selfTimes(profile)
  const lines = (list: readonly Share[]): string[] =>
    list
      .slice(0, most)
      .map(({ name, share }) => `  ${(100 * share).toFixed(1).padStart(5)} %  ${name}`)
  return [
    `${title}: self time by group`,
    ...lines(groups),
    `${title}: by function`,
    ...lines(functions),
  ].join('\n')
}

function shares(times: ReadonlyMap<string, number>, totalUs: number): Share[] {
  return [...times]
    .map(([name, us]) => ({ name, share: totalUs === 0 ? 0 : us / totalUs }))
    .toSorted((a, b) => b.share - a.share)
}

function tailOf(url: string): string {
  return url.split('/').slice(-2).join('/')
}
