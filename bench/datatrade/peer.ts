/**
 * One process of the data trade bench: what it does stands in its one argument.
 * @module
 */
import { createHash } from 'node:crypto'
import { JsonRpcProvider, verifyMessage, Wallet } from 'ethers'
import { WebSocket, WebSocketServer } from 'ws'
import { createBuyer } from '../../src/buyer/index.ts'
import { createSeller, type Source } from '../../src/seller/index.ts'

/** What a process of the bench can be. */
export type Role = 'seller' | 'buyer' | 'buyers' | 'ws-server' | 'ws-client' | 'seed-seller' | 'seed-buyer'

interface Options {
  readonly role: Role
  readonly granularity: number
  readonly size: number
  readonly url: string
  readonly rpc: string
  readonly dataTrade: string
  readonly store: string
  readonly key: string
  readonly keys: readonly string[]
  readonly generated?: boolean
  readonly memory?: boolean
  readonly hash?: boolean
}

const MiB = 1024 * 1024
const options = JSON.parse(process.argv[2]!) as Options
const { granularity, size, url } = options

const answer = (result: { url?: string; rate?: number; grown?: number; failed?: number }): void => void process.send!(result)
const rateOf = (bytes: number, began: number): number => bytes / MiB / ((performance.now() - began) / 1000)
const signer = (key: string): Wallet =>
  new Wallet(key, new JsonRpcProvider(options.rpc, undefined, { staticNetwork: true, cacheTimeout: -1, pollingInterval: 100 }))

/** What a process holds: what lives on the heap after a collection, and its buffers. */
const held = (): number => {
  globalThis.gc!()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Watches the highest growth over the start. */
const watchMemory = () => {
  let first: number | undefined
  let most = 0
  return {
    look: (): void => {
      const now = held()
      first ??= now
      most = Math.max(most, now - first)
    },
    get grown() {
      return most
    },
  }
}

const roles: Record<Role, () => Promise<void> | void> = {
  seller: async () => {
    // A stream of 10 GiB needs no 10 GiB of memory or disk: each chunk is one block with its index written over it.
    const block = new Uint8Array(granularity).fill(7)
    const generated: Source = {
      size,
      open: () =>
        Promise.resolve({
          read: (offset: number, targets: readonly Uint8Array[]) => {
            let at = offset
            for (const target of targets) {
              for (let i = 0; i < target.length; i += granularity) {
                const part = target.subarray(i, i + granularity)
                part.set(block.subarray(0, part.length))
                new DataView(part.buffer, part.byteOffset).setUint32(0, (at + i) / granularity)
              }
              at += target.length
            }
            return Promise.resolve()
          },
          close: () => Promise.resolve(),
        }),
    }
    const seller = await createSeller({
      signer: signer(options.key),
      dataTrade: options.dataTrade,
      store: options.store,
      granularity,
      items: [{ id: 'data', data: options.generated ? generated : new Uint8Array(size).fill(7), price: 10n ** 15n }],
    })
    const listener = await seller.listen()
    const memory = watchMemory()
    if (options.generated) setInterval(memory.look, 1000).unref()
    process.on('message', (what) => {
      if (what === 'memory') answer({ grown: memory.grown })
    })
    answer({ url: listener.url })
  },
  buyer: async () => {
    const buyer = await createBuyer({ signer: signer(options.key), dataTrade: options.dataTrade, store: options.store })
    const memory = watchMemory()
    let began = 0
    let received = 0
    let looked = 0
    for await (const chunk of buyer.buy({ seller: url, item: 'data' })) {
      if (began === 0) began = performance.now()
      received += chunk.length
      if (options.memory && received - looked > 512 * MiB) {
        looked = received
        memory.look()
      }
    }
    answer({ rate: rateOf(received, began), grown: memory.grown })
  },
  buyers: async () => {
    const began = performance.now()
    const results = await Promise.allSettled(
      options.keys.map(async (key) => {
        const buyer = await createBuyer({ signer: signer(key), dataTrade: options.dataTrade })
        let received = 0
        for await (const chunk of buyer.buy({ seller: url, item: 'data' })) received += chunk.length
        await buyer.close()
        if (received !== size) throw new Error(`${received} bytes came`)
      }),
    )
    for (const result of results) if (result.status === 'rejected') console.error(result.reason)
    const failed = results.filter(({ status }) => status === 'rejected').length
    answer({ rate: rateOf((results.length - failed) * size, began), failed })
  },
  'ws-server': () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
    server.on('connection', (socket) => {
      const chunk = Buffer.alloc(granularity, 7)
      let left = size
      const send = (): void => {
        while (left > 0) {
          left -= granularity
          const full = socket.bufferedAmount >= 4 * MiB
          socket.send(chunk, left === 0 ? () => socket.close() : full ? send : undefined)
          if (full) return
        }
      }
      send()
    })
    server.on('listening', () => answer({ url: `ws://127.0.0.1:${(server.address() as { port: number }).port}` }))
  },
  'ws-client': () => {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    let began = 0
    let received = 0
    socket.on('message', (data: Buffer) => {
      if (began === 0) began = performance.now()
      received += data.length
      if (options.hash) createHash('sha256').update(data).digest()
    })
    socket.on('close', () => answer({ rate: rateOf(received, began) }))
  },
  'seed-seller': () => {
    const wallet = Wallet.createRandom()
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
    const data = Buffer.alloc(granularity, 7).toString('base64')
    const message = async (): Promise<string> => {
      const text = JSON.stringify({ message_type: 'data', payload: data, signature: '', verification: '' })
      return JSON.stringify({ message_type: 'data', payload: data, signature: await wallet.signMessage(text), verification: '' })
    }
    server.on('connection', (socket) => {
      let left = size / granularity
      const next = async (): Promise<void> => {
        if (left-- === 0) return socket.close()
        socket.send(await message())
      }
      socket.on('message', (ack: Buffer) => {
        assertSigned(ack.toString())
        void next()
      })
      void next()
    })
    server.on('listening', () => answer({ url: `ws://127.0.0.1:${(server.address() as { port: number }).port}` }))
  },
  'seed-buyer': () => {
    const wallet = Wallet.createRandom()
    const socket = new WebSocket(url, { perMessageDeflate: false })
    const began = performance.now()
    let received = 0
    socket.on('message', (text: Buffer) => {
      received += Buffer.from(assertSigned(text.toString()), 'base64').length
      const ack = JSON.stringify({ message_type: 'ACK', payload: 'ack', signature: '', verification: '' })
      void wallet
        .signMessage(ack)
        .then((signature) => socket.send(JSON.stringify({ message_type: 'ACK', payload: 'ack', signature, verification: '' })))
    })
    socket.on('close', () => answer({ rate: rateOf(received, began) }))
  },
}

/** Checks a seed message's signature, over the text of the message without it, and gives its payload. */
function assertSigned(text: string): string {
  const { message_type, payload, signature, verification } = JSON.parse(text) as Record<string, string>
  verifyMessage(JSON.stringify({ message_type, payload, signature: '', verification }), signature!)
  return payload!
}

process.on('message', (what) => {
  if (what === 'stop') process.exit(0)
})
await roles[options.role]()
