/**
 * Sits on the line between a buyer and a seller and keeps count of what passes, whoever dies: bytes of data on their way
 * to the buyer, acknowledgements on their way to the seller.
 * @module
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'
import { decodeFrame } from '../../src/protocol/frame.ts'
import { decodeMessage, MAX_TEXT_TO_SELLER } from '../../src/protocol/message.ts'
import { unpaidWindow } from '../../src/protocol/window.ts'

/** What has passed of one order. */
export interface Passed {
  /** Where the farthest chunk ended that the seller has sent. */
  sent: number
  /** The highest count that the buyer has acknowledged. */
  acked: number
  chunks: number
}

/** See {@link startTap}. */
export interface Tap {
  readonly url: string
  passed(orderId: string): Passed
  /** Chunks that went ahead of the unpaid window. */
  readonly violations: readonly string[]
  /** Is told of each chunk and each ACK that passes. */
  onPass: (() => void) | undefined
  close(): Promise<void>
}

/** Starts a tap in front of a seller's port; the seller need not be there yet. */
export async function startTap(
  port: number,
  { granularity, window }: { readonly granularity: number; readonly window: number },
): Promise<Tap> {
  const orders = new Map<string, Passed>()
  const violations: string[] = []
  const http = createServer()
  const server = new WebSocketServer({ server: http, perMessageDeflate: false })
  const passedOf = (id: string): Passed => {
    let passed = orders.get(id)
    if (!passed) orders.set(id, (passed = { sent: 0, acked: 0, chunks: 0 }))
    return passed
  }

  server.on('connection', (buyer) => {
    const seller = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false })
    const streams = new Map<number, string>()
    const waiting: string[] = []
    buyer.on('message', (data: Buffer) => {
      const text = data.toString()
      const message = decodeMessage(text, MAX_TEXT_TO_SELLER)
      if (message.type === 'order') streams.set(message.payload.stream, message.payload.order_hash)
      else if (message.type === 'resume') streams.set(message.payload.stream, message.payload.order_ID)
      else if (message.type === 'ACK') {
        const passed = passedOf(message.payload.order_ID)
        passed.acked = Math.max(passed.acked, message.payload.transferred)
      }
      if (seller.readyState === WebSocket.OPEN) seller.send(text)
      else waiting.push(text)
      tap.onPass?.()
    })
    seller.on('open', () => {
      for (const text of waiting.splice(0)) seller.send(text)
    })
    seller.on('message', (data: Buffer, isBinary) => {
      if (isBinary) {
        const { stream, index, body } = decodeFrame(data)
        const id = streams.get(stream)!
        const passed = passedOf(id)
        const end = index * granularity + body.length
        passed.sent = Math.max(passed.sent, end)
        passed.chunks++
        const limit = passed.acked + unpaidWindow(Math.floor(passed.acked / granularity), window) * granularity
        if (end > limit) violations.push(`order ${id}: byte ${end} was sent when the window ended at ${limit}`)
      }
      if (buyer.readyState === WebSocket.OPEN) buyer.send(isBinary ? data : data.toString())
      tap.onPass?.()
    })
    for (const [from, to] of [
      [buyer, seller],
      [seller, buyer],
    ] as const) {
      from.on('error', () => {})
      // As abruptly as it ended: who is killed doesn't say goodbye.
      from.on('close', () => to.terminate())
    }
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))

  const tap: Tap = {
    url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}/`,
    passed: passedOf,
    violations,
    onPass: undefined,
    close: async () => {
      for (const client of server.clients) client.terminate()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      await new Promise<void>((resolve) => http.close(() => resolve()))
    },
  }
  return tap
}
