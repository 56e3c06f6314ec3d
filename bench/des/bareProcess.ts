/**
 * The least that an exchange over HTTP and PostgreSQL could be: a Hono handler that inserts a row and updates it.
 * @module
 */
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.argv[2], max: 8 })
await pool.query(
  'create table bare (id int8 generated always as identity primary key, body text not null, done boolean not null default false)',
)
pool.on('error', () => {}) // the database may be gone first
const app = new Hono()
app.post('/', async (c) => {
  const body = await c.req.text()
  const { rows } = await pool.query<{ id: string }>('insert into bare (body) values ($1) returning id', [body])
  await pool.query('update bare set done = true where id = $1', [rows[0]!.id])
  return c.json({ id: rows[0]!.id })
})
const listener = getRequestListener((request) => app.fetch(request))
const server = createServer((request, response) => void listener(request, response))
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` })}\n`)
createInterface({ input: process.stdin }).on('close', () => process.exit())
