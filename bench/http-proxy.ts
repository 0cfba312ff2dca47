import { fastify } from 'fastify'

// The yardstick: `@fastify/http-proxy` as its README shows it, in a process of its own.
// Arguments: port to listen on, port of the stub.

const [port = '0', stub = '0'] = process.argv.slice(2)
const { default: httpProxy } = await import('@fastify/http-proxy')
const app = fastify()
await app.register(httpProxy, {
  upstream: `http://127.0.0.1:${stub}`,
  // By default 128 connections: the other streams would wait without a word.
  undici: { connections: 16_384 },
})
await app.listen({ port: Number(port), host: '127.0.0.1', backlog: 8_192 })
