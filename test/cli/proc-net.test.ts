import t from 'tap'
import { parseLsof, parseProcNetTcp } from '../../src/cli/proc-net.ts'

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 424242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F40 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 424243 1 0000000000000000 20 4 30 10 -1
`
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0000000000000000 100 0 0 10 0
`

t.test('parseProcNetTcp() finds listeners, not connections', async (t) => {
  t.same(parseProcNetTcp(TCP), [{ port: 8000, inode: '424242', uid: 1000 }])
  t.same(parseProcNetTcp(TCP6), [{ port: 9000, inode: '7', uid: 0 }])
  t.same(parseProcNetTcp(''), [])
  t.same(parseProcNetTcp('head\ngarbage\n'), [])
})

t.test('parseLsof() reads the first process of lsof -Fpc', async (t) => {
  t.same(parseLsof('p4242\ncpython3.12\nf7\np4243\ncother\n'), { pid: 4242, name: 'python3.12' })
  t.equal(parseLsof(''), null)
})
