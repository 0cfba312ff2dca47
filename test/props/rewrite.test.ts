import * as fc from 'fast-check'
import t from 'tap'
import { replaceModel, withModel } from '../../src/proxy/request/rewrite.ts'
import { scanBody } from '../../src/proxy/request/scan.ts'
import { holds } from '../support/property.ts'

const words = fc.oneof(
  fc.constantFrom(
    'model',
    '"model":"x"',
    '{"model":"x"}',
    '\\"model\\":\\"',
    '\\',
    '"',
    'a',
    ',',
    '',
  ),
  fc.string({ unit: 'binary' }),
)
/** An object as its members, since an object of JavaScript would sort and merge them. */
type Tree = string | number | null | Tree[] | { members: [string, Tree][] }
const ANSWERS = new Set(['response', 'message'])
const keys = fc.constantFrom('model', 'response', 'message', 'metadata')
const { member } = fc.letrec<{ tree: Tree; member: [string, Tree] }>((tie) => ({
  member: fc.tuple(fc.oneof({ weight: 3, arbitrary: keys }, words), tie('tree')),
  tree: fc.oneof(
    { maxDepth: 4 },
    words,
    fc.integer(),
    fc.constant(null),
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.array(tie('member'), { maxLength: 4 }).map((members) => ({ members })),
  ),
}))
const trees = fc.array(member, { maxLength: 5 }).map((members): Tree => ({ members }))
const spaces = fc.constantFrom('', ' ', '\t', ' \n ')

/** Writes a tree as JSON; `to`, where given, stands in for the first model name that is the answer's
 *  own: a member of the object itself, or of its `response` or `message`. */
function write(
  tree: Tree,
  space: string,
  to: { name: string | null },
  path: readonly string[] | null = [],
): string {
  if (Array.isArray(tree)) {
    return `[${tree.map((item) => write(item, space, to, null)).join(`${space},${space}`)}]`
  }
  if (typeof tree !== 'object' || tree === null) return JSON.stringify(tree)
  const members = tree.members.map(([key, value]) => {
    let text = ''
    const own = path?.length === 0 || (path?.length === 1 && ANSWERS.has(path[0] ?? ''))
    if (own && key === 'model' && typeof value === 'string' && to.name !== null) {
      text = JSON.stringify(to.name)
      to.name = null
    } else text = write(value, space, to, path === null ? null : [...path, key])
    return `${space}${JSON.stringify(key)}${space}:${space}${text}${space}`
  })
  return `{${members.join(',')}}`
}

t.test('replaceModel changes the answer’s own name in any JSON, and nothing else', async (t) => {
  let replaced = 0
  holds(
    t,
    'as written anew with the other name',
    fc.property(trees, spaces, words, (tree, space, name) => {
      const event = Buffer.from(`data: ${write(tree, space, { name: null })}\n\n`)
      const to = { name: name as string | null }
      const expected = `data: ${write(tree, space, to)}\n\n`
      if (to.name === null) replaced += 1
      const out = replaceModel(event, name)
      return out.toString() === expected && (to.name === null || out === event)
    }),
    3000,
  )
  t.ok(replaced > 200, `${replaced} of 3000 had a name`)
})

t.test('withModel writes the name where the last reader looks, and nothing else', async (t) => {
  const members = fc.array(fc.tuple(fc.oneof(fc.constant('model'), words), fc.jsonValue()), {
    maxLength: 5,
  })
  holds(
    t,
    'any body, with the name, without it, with several',
    fc.property(members, spaces, fc.constantFrom('m', null), words, (pairs, space, old, name) => {
      const last = pairs.findLastIndex(([key]) => key === 'model')
      const body = (to: string | null): string => {
        const inner = pairs.map(([key, value], i) => {
          const fits = key === 'model' ? (to !== null && i === last ? to : old) : value
          const own = ['stream', 'n'].includes(key) ? true : fits
          return `${space}${JSON.stringify(key)}${space}:${space}${JSON.stringify(own)}`
        })
        const added = last === -1 && to !== null ? [`"model":${JSON.stringify(to)}`] : []
        const tail = inner.length === 0 ? space : ''
        return `{${[...added, ...inner].join(',')}${tail}}`
      }
      const bytes = Buffer.from(body(null))
      const scan = scanBody(bytes)
      return scan.ok && withModel(bytes, scan, name).toString() === body(name)
    }),
    2000,
  )
})
