/** Who owns a listening socket, as `/proc/net/tcp` tells it to everybody. */
export interface ListenerRow {
  readonly port: number
  /** Identifies the socket among the open files of its process. */
  readonly inode: string
  /** Numeric id of the user that it runs as. */
  readonly uid: number
}

const LISTEN = '0A'

/** Listening sockets in the text of `/proc/net/tcp` or `/proc/net/tcp6` (proc(5)). Pure. */
export function parseProcNetTcp(text: string): ListenerRow[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
      const [, local, , state, , , , uid, , inode] = line.trim().split(/\s+/)
      if (local === undefined || inode === undefined || state !== LISTEN) return []
      const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16)
      return [{ port, inode, uid: Number(uid) }]
    })
}

/** A process that holds a port. */
export interface HolderProcess {
  /** Null: it belongs to another user, so its id cannot be seen. */
  readonly pid: number | null
  /** Name of the executable, never its arguments: those may hold a key. */
  readonly name: string
}

/** First process in the output of `lsof -Fpc` (`p` lines hold the id, `c` lines the name). Pure. */
export function parseLsof(text: string): HolderProcess | null {
  const lines = text.split('\n')
  const pid = lines.find((line) => line.startsWith('p'))?.slice(1)
  const name = lines.find((line) => line.startsWith('c'))?.slice(1)
  return pid === undefined || name === undefined ? null : { pid: Number(pid), name }
}
