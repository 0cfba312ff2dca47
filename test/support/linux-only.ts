import process from 'node:process'

/** Options of a test that reads /proc. Elsewhere it is skipped, which is told and counted. */
export const LINUX_ONLY: { readonly skip: false | string } = {
  skip: process.platform === 'linux' ? false : 'only Linux tells it, in /proc',
}
