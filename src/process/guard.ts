import { spawn } from 'node:child_process'

/**
 * Waits for a word on its standard input. If only the end of it comes, who held the other end is
 * dead: then the process group that the first argument names is ended, with a grace of ten seconds.
 */
const SCRIPT = `read -r word && exit
kill -TERM -"$1"
for second in 1 2 3 4 5 6 7 8 9 10; do
  sleep 1
  kill -0 -"$1" || exit
done
kill -KILL -"$1"
`

/**
 * Guards a process group against our own sudden death, a SIGKILL or a crash: Node has no `prctl`, and
 * macOS none at all. A shell holds the reading end of a pipe whose other end only we have, so the
 * system itself tells it. Costs one sleeping `sh`. Call the result when the group is gone.
 */
export function guardGroup(pid: number): () => void {
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'gengate-guard', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: '/usr/bin:/bin' },
    // A Ctrl-C is not for it.
    detached: true,
  })
  // Without a shell there is no guard, and the engine runs all the same.
  shell.on('error', () => undefined)
  shell.stdin.on('error', () => undefined)
  shell.unref()
  return () => shell.stdin.end('gone\n')
}
