import { expect, it } from 'vitest'
import { createEmitter } from './events.ts'
import { type Logger, silentLogger } from './log.ts'

interface Map {
  paid: { amount: bigint }
  closed: string
}

it('calls listeners in order until they are taken off', () => {
  const emitter = createEmitter<Map>()
  const seen: string[] = []
  const off = emitter.on('paid', ({ amount }) => seen.push(`a${amount}`))
  emitter.on('paid', ({ amount }) => seen.push(`b${amount}`))
  emitter.once('paid', ({ amount }) => seen.push(`c${amount}`))
  emitter.once('paid', () => seen.push('never'))()
  emitter.on('closed', (reason) => seen.push(reason))
  emitter.emit('paid', { amount: 1n })
  off()
  emitter.emit('paid', { amount: 2n })
  emitter.emit('closed', 'done')
  emitter.clear()
  emitter.emit('closed', 'again')
  expect(seen).toEqual(['a1', 'b1', 'c1', 'b2', 'done'])
})

it('is not broken by listeners that throw or reject', async () => {
  const lines: unknown[] = []
  const log: Logger = { ...silentLogger, error: (message, details) => lines.push([message, details]) }
  const emitter = createEmitter<Map>(log)
  const seen: string[] = []
  emitter.on('closed', () => {
    throw new Error('sync')
  })
  emitter.on('closed', () => Promise.reject(new Error('async')))
  emitter.on('closed', (reason) => seen.push(reason))
  emitter.emit('closed', 'done')
  await new Promise((resolve) => setTimeout(resolve, 0))
  expect(seen).toEqual(['done'])
  const line = (error: string) => ['listener of event closed failed', { event: 'closed', error }]
  expect(lines).toEqual([line('sync'), line('async')])
})
